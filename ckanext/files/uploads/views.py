"""The endpoint of uploads: ``/file/upload`` and ``/file/upload/ID``.

Each answer has the headers of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import ckan.plugins.toolkit as tk
from ckan import model
from flask import Blueprint, Response
from werkzeug.http import http_date

from ckanext.files.csrf import protect
from ckanext.files.store import format_of, is_configured

from . import checks, protocol
from .answers import SECONDS_TO_DISCARD, answer_errors
from .body import Body
from .creation import begin_upload
from .errors import (
    FileWaitsError,
    UploadGoneError,
    UploadRefusedError,
    WrongOffsetError,
    WrongTypeError,
)
from .finishing import make_file
from .own_uploads import discard_upload, find_usable
from .receiving import Receiver, too_long
from .removal import remove_some_expired, remove_upload
from .sinks import find_storage
from .table import UploadRow, find_upload, transaction

blueprint = protect(Blueprint("files_upload", __name__))
answer_errors(blueprint)


@blueprint.route("/file/upload", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/file/upload/<id>", methods=["OPTIONS"], provide_automatic_options=False)
def describe(id: str = "") -> Response:  # noqa: A002 - the same name as in CKAN's routes
    """Describe what the endpoint can do."""
    headers = {
        "Tus-Version": protocol.VERSION,
        "Tus-Extension": protocol.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(protocol.ALGORITHMS),
    }
    limit = _largest_limit()
    if limit is not None:
        headers["Tus-Max-Size"] = str(limit)
    return Response(status=204, headers=headers)


def _largest_limit() -> int | None:
    """Return the size of the largest file that a user may upload, if each storage has a limit."""
    names = {
        tk.config["ckan.files.default_storages.default"],
        *tk.config["ckan.files.authenticated_uploads.storages"],
    }
    limits = [checks.size_limit(find_storage(name)) for name in names if is_configured(name)]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


@blueprint.route("/file/upload", methods=["POST"])
def create() -> Response:
    """Begin an upload; bytes of the file may come with the same request."""
    headers = tk.request.headers
    protocol.check_version(headers)
    protocol.read_checksum(headers)  # refused before there is an upload, if it is invalid
    has_body = bool(tk.request.content_length or "Transfer-Encoding" in headers)
    if has_body:
        protocol.check_body_type(headers)
    upload = begin_upload(headers)
    remove_some_expired()
    try:
        answer = _receive(upload) if has_body or not upload.size else _progress(upload)
    except FileWaitsError:
        if not upload.size:  # a client would take it for done
            _remove_quietly(upload)
            raise
        answer = _progress(_as_it_is_now(upload))  # the client goes on, and makes the file
    except Exception:
        _remove_quietly(upload)  # the client does not know the upload yet
        raise
    answer.status_code = 201
    answer.headers["Location"] = tk.url_for("files_upload.change", id=upload.id)
    return answer


@blueprint.route("/file/upload/<id>", methods=["HEAD", "PATCH", "DELETE", "POST"])
def change(id: str) -> Response:  # noqa: A002 - the same name as in CKAN's routes
    """Continue an upload, end it, or look how far it is."""
    protocol.check_version(tk.request.headers)
    method = tk.request.method
    if method == "POST":  # from clients that can send no others
        method = tk.request.headers.get("X-HTTP-Method-Override", "")
    handle: Callable[[str], Response] | None = _METHODS.get(method)
    if handle is None:
        tk.abort(405)
    return handle(id)


def _show(id_: str) -> Response:
    upload = find_usable(id_)
    answer = _progress(upload)
    answer.status_code = 200
    answer.headers["Upload-Length"] = str(upload.size)
    answer.headers["Upload-Metadata"] = upload.metadata
    return answer


def _continue(id_: str) -> Response:
    upload = find_usable(id_)
    protocol.check_body_type(tk.request.headers)
    if protocol.read_offset(tk.request.headers) != upload.offset:
        raise WrongOffsetError
    return _receive(upload)


def _end(id_: str) -> Response:
    discard_upload(id_)
    return Response(status=204)


_METHODS = {"HEAD": _show, "PATCH": _continue, "DELETE": _end}


def _receive(upload: UploadRow) -> Response:
    """Take the body of the request into an upload, and make the file when that was the last."""
    if (tk.request.content_length or 0) > upload.size - upload.offset:
        raise too_long()
    checksum, body = protocol.read_checksum(tk.request.headers), Body(tk.request.stream)
    _end_transaction()
    if upload.file_id is not None:
        return _progress(upload)
    try:
        if not upload.is_stored:
            upload = _store(upload, body, checksum)
        if not upload.is_stored:
            return _progress(upload)
        body.discard(SECONDS_TO_DISCARD)
        file_id = make_file(upload)
    except (UploadGoneError, WrongTypeError):
        _remove_quietly(upload)  # it can never be a file
        raise
    return _progress(upload._replace(offset=upload.size, file_id=file_id))


def _store(upload: UploadRow, body: Body, checksum: protocol.Checksum | None) -> UploadRow:
    """Store a body; return the upload as it is after that."""
    receiver = Receiver(upload, checksum)
    receiver.receive(body)
    if receiver.is_stored:
        return _as_it_is_now(upload)
    return upload._replace(expires=receiver.expires, offset=receiver.offset)


def _as_it_is_now(upload: UploadRow) -> UploadRow:
    with transaction() as connection:
        return find_upload(connection, upload.id)


def _progress(upload: UploadRow) -> Response:
    headers = {"Upload-Offset": str(upload.offset)}
    if upload.file_id is None:
        headers["Upload-Expires"] = http_date(upload.expires)
    else:
        headers["File-Id"] = upload.file_id
        headers["File-Format"] = quote(format_of(upload.name, upload.content_type) or "")
    return Response(status=204, headers=headers)


def _end_transaction() -> None:
    """Give the connection back that CKAN has used to look at the user and the rights."""
    model.Session.remove()


def _remove_quietly(upload: UploadRow) -> None:
    with suppress(UploadRefusedError):  # it is gone already, or expires
        remove_upload(upload.id)


@blueprint.after_request
def _add_protocol(response: Response) -> Response:
    response.headers["Tus-Resumable"] = protocol.VERSION
    if response.status_code == 412:
        response.headers["Tus-Version"] = protocol.VERSION
    response.headers["Cache-Control"] = "no-store"
    # CKAN adds to this header what the page's kind allows, and allows least for this kind
    tk.request.environ["__no_cache__"] = True
    return response
