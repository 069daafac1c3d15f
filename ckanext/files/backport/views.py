"""The pages ``/file/download``, ``/file/trusted-download`` and ``/file/public-download``."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import jwt
from ckan import model
from ckan.lib import api_token
from ckan.types import Response
from flask import Blueprint

from .model import find_file, find_file_at
from .storage import FileData, Location, Storage, exc, get_storage

blueprint = Blueprint("file", __name__)


@blueprint.route("/file/download/<id>")
def download(id: str) -> Response:  # noqa: A002 - CKAN's name for it
    """Send a file to a visitor who may download it; answer 404 to all others."""
    try:
        tk.check_access("permission_download_file", {}, {"id": id})
        file = tk.get_action("file_show")({}, {"id": id})
    except (tk.ObjectNotFound, tk.NotAuthorized, tk.ValidationError):
        return tk.abort(404)
    return _send(file["storage"], FileData.from_dict(file), file["name"])


@blueprint.route("/file/trusted-download/<token>")
def trusted_download(token: str) -> Response:
    """Send a file to a visitor who has a token for it that this portal has signed.

    The token's audience is ``trusted_download``, and it names the file by its id as ``sub``, or by
    ``storage`` and ``location``. ``ckan.lib.api_token.encode`` makes it; the caller should set the
    time at which it expires, ``exp``.
    """
    try:
        data = _decode_token(token, "trusted_download")
    except jwt.InvalidTokenError:
        return tk.abort(404)
    file = _file_of(data)
    return _send(file.storage, FileData.from_object(file), file.name) if file else tk.abort(404)


@blueprint.route("/file/public-download/<storage_name>/<path:location>")
def public_download(storage_name: str, location: str) -> Response:
    """Send a file of a storage whose option ``public`` is set, with a row or without."""
    try:
        storage = get_storage(storage_name)
    except exc.UnknownStorageError:
        return tk.abort(404)
    if not isinstance(storage, Storage) or not storage.settings.public:
        return tk.abort(403, "Storage is not public")
    place = Location(location)
    try:
        data = FileData(place, size=storage.size(place), content_type=storage.content_type(place))
    except (exc.MissingFileError, exc.LocationError, IsADirectoryError):
        return tk.abort(404)
    except exc.UnsupportedOperationError:
        return tk.abort(422, "File is not downloadable")
    return _send(storage_name, data)


def _decode_token(token: str, audience: str) -> dict[str, Any]:
    """Read a token as ``ckan.lib.api_token.decode_token`` of CKAN 2.12 does.

    Plugins that read API tokens take no part: a token that they accept need not be one that this
    portal has signed for this purpose.

    :raises jwt.InvalidTokenError: it was signed for another purpose or not at all, or has expired.
    """
    return jwt.decode(
        token,
        api_token._get_secret(encode=False),  # noqa: SLF001 - public only in CKAN 2.12
        algorithms=[api_token._get_algorithm()],  # noqa: SLF001
        audience=audience,
    )


def _file_of(token: dict[str, Any]) -> Any:
    if "sub" in token:
        return find_file(model.Session, token["sub"])
    if "location" in token and "storage" in token:
        return find_file_at(model.Session, token["storage"], token["location"])
    return None


def _send(storage_name: str, data: FileData, name: str | None = None) -> Response:
    try:
        storage = get_storage(storage_name)
    except exc.UnknownStorageError:
        return tk.abort(404)
    if not isinstance(storage, Storage):
        return tk.abort(422, "File is not downloadable")
    try:
        response = storage.as_response(data, name)
    except exc.UnsupportedOperationError:
        return tk.abort(422, "File is not downloadable")
    return tk.abort(response.status_code) if response.status_code >= 400 else response
