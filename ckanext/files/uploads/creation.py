"""Begin an upload."""

from __future__ import annotations

import io
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.advisory_locks import UPLOADS, lock_text
from ckanext.files.store import LONGEST_TITLE, storage_name, storages

from . import checks, protocol
from .errors import TooManyUploadsError, UploadRefusedError
from .multipart import takes_parts
from .options import most_unfinished
from .sinks import find_storage
from .table import UploadRow, count_unfinished, create_upload, transaction

_MOST_METADATA = 4096
"""Characters of the header: the longest name, whatever its letters, and half as much again."""


def begin_upload(headers: Any) -> UploadRow:
    """Make an upload of what the headers of a request announce.

    :raises UploadRefusedError: the user may not upload it, or the storage would not take it.
    """
    size, header = protocol.read_length(headers), headers.get("Upload-Metadata", "")
    metadata = _read_metadata(header)
    name = metadata.get("filename") or metadata.get("name") or ""
    _check_name(name)
    storage = storage_name(metadata.get("storage"))
    checks.check_rights(storage, name)
    target = find_storage(storage)
    checks.check_new(target, name, size)
    values: dict[str, Any] = {"storage": storage, "name": name, "metadata": header, "size": size}
    values["location"] = _choose_location(target, values)
    if not size:
        values["content_type"] = checks.find_type(b"")
        checks.check_type(target, values["content_type"])
    values |= {"user_id": tk.current_user.id, "is_stored": not size}
    model.Session.remove()  # before a transaction of our own
    with transaction() as connection:
        _take_place(connection, values["user_id"])
        return create_upload(connection, values)


def _read_metadata(header: str) -> dict[str, str]:
    """Return the metadata, of which the row keeps all: many rows go into one page."""
    if len(header) > _MOST_METADATA:
        sentence = tk._("The header {header} has more than {number} characters")
        number = tk.h.localised_number(_MOST_METADATA)
        raise UploadRefusedError(sentence.format(header="Upload-Metadata", number=number))
    return protocol.read_metadata(header)


def _check_name(name: str) -> None:
    """:raises UploadRefusedError: there is none, or it cannot become the title of the file."""
    if not name.strip():
        sentence = tk._("The name of the file is missing: send {key} in the header {header}")
        raise UploadRefusedError(sentence.format(key="filename", header="Upload-Metadata"))
    if len(name.strip()) > LONGEST_TITLE:
        sentence = tk._("The name of the file has more than {number} characters")
        raise UploadRefusedError(sentence.format(number=tk.h.localised_number(LONGEST_TITLE)))


def _take_place(connection: Any, user_id: str) -> None:
    """Check if the user may begin one more upload.

    The number is what bounds the disk that a user can fill: a limit of bytes would be a second one
    beside ``max_size`` of the storages. The lock lasts until the upload is committed, so that
    two requests cannot both take the last place.

    :raises TooManyUploadsError: the user has as many as the portal allows.
    """
    lock_text(connection, UPLOADS, user_id)
    limit = most_unfinished()
    if count_unfinished(connection, user_id) >= limit:
        sentence = tk.ungettext(
            "You have {number} unfinished upload, which is the limit. "
            "Finish or discard it, and try again.",
            "You have {number} unfinished uploads, which is the limit. "
            "Finish or discard one of them, and try again.",
            limit,
        )
        raise TooManyUploadsError(sentence.format(number=tk.h.localised_number(limit)))


def _choose_location(storage: Any, values: dict[str, Any]) -> str:
    """Return where the parts of a file go; empty if the location is chosen when it is complete.

    A location that depends on the content of the file, or on time, is looked for at the end,
    where ``file_create`` looks for it.
    """
    empty = storages.Upload(io.BytesIO(), values["name"], values["size"], "")
    location = str(checks.choose_location(storage, empty, values["name"]))
    checks.check_location(values["storage"], location)
    return location if takes_parts(storage) else ""
