"""What ``file_create`` would decide at the end, as soon as it can be known.

It looks at rights, size, type and location of a file. What it would refuse is refused here.
"""

from __future__ import annotations

import mimetypes
from typing import Any

import ckan.plugins.toolkit as tk
import magic
import sqlalchemy as sa
from ckan import model
from ckan.lib.munge import munge_filename

from ckanext.files.filekeeper.safe import is_supported_type
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, exc

from .errors import (
    LargeFileError,
    NotLoggedInError,
    UploadForbiddenError,
    UploadRefusedError,
    WrongTypeError,
)
from .multipart import MOST_BYTES, takes_parts

SAMPLE_SIZE = 2048
"""The bytes that show the type of a file: as many as file-keeper looks at."""

_KNOWN_BY_NAME = (
    "application/pdf",
    "application/zip",
    "audio/mpeg",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "video/mp4",
)
"""Types whose files contain what their names promise. Others may turn out to be anything: CSV and
JSON are plain text for some versions of libmagic, and a name that ends in .ts may be video or
TypeScript."""


def check_login() -> None:
    """Check if the request has a user.

    :raises NotLoggedInError: it has none.
    """
    if _user() is None:
        raise NotLoggedInError


def check_rights(storage: str, name: str) -> None:
    """Check if the user of the request may make a file of that name.

    :raises UploadForbiddenError: the user may not, or there is none.
    """
    check_login()
    context: Any = {"user": tk.current_user.name, "auth_user_obj": _user()}
    try:
        tk.check_access("file_create", context, {"name": name, "storage": storage})
    except tk.NotAuthorized as error:
        raise UploadForbiddenError(str(error)) from error


def _user() -> Any:
    return tk.current_user if tk.current_user.is_authenticated else None


def check_new(storage: Any, name: str, size: int) -> None:
    """Check what can be known before the first byte."""
    if not storage.supports(Capability.CREATE):
        sentence = tk._("The storage {storage} takes no uploads. Choose another one.")
        raise UploadRefusedError(sentence.format(storage=storage.settings.name))
    check_size(storage, size)
    guessed, _ = mimetypes.guess_type(name)
    if guessed in _KNOWN_BY_NAME:
        check_type(storage, guessed)


def check_size(storage: Any, size: int) -> None:
    """:raises LargeFileError: the storage takes no file of that size."""
    limit = size_limit(storage)
    if limit is not None and size > limit:
        sentence = tk._("The file has {size}, and the storage takes {limit} at most")
        sizes = {"size": tk.h.localised_filesize(size), "limit": tk.h.localised_filesize(limit)}
        raise LargeFileError(sentence.format(**sizes))


def size_limit(storage: Any) -> int | None:
    """Return the size of the largest file that a storage takes, in bytes."""
    limit = getattr(storage.settings, "max_size", -1)
    limits = [*([limit] if limit >= 0 else []), *([MOST_BYTES] if takes_parts(storage) else [])]
    return min(limits, default=None)


def check_type(storage: Any, content_type: str) -> None:
    """:raises WrongTypeError: the storage takes no file of that type."""
    supported = getattr(storage.settings, "supported_types", None)
    if supported and not is_supported_type(content_type, supported):
        sentence = tk._("The file is of the type {type}, and the storage takes only {types}")
        raise WrongTypeError(sentence.format(type=content_type, types=", ".join(supported)))


def check_location(storage: str, location: str) -> None:
    """Check if a file may go to a location, which a transaction may take until then.

    :raises UploadRefusedError: there is a file already.
    """
    columns = file_table.c
    taken = sa.select(columns.id).where(columns.storage == storage, columns.location == location)
    if model.Session.execute(taken).first():
        sentence = tk._("There is a file of this name already. Choose another name.")
        raise UploadRefusedError(sentence)


def choose_location(storage: Any, upload: Any, name: str) -> str:
    """Return where the storage would put a file, as ``file_create`` asks it."""
    try:
        return storage.prepare_location(munge_filename(name), upload)
    except exc.UploadError as error:
        raise UploadRefusedError(str(error)) from error


def find_type(head: bytes) -> str:
    """Return the type of a file by its first bytes, as file-keeper finds it."""
    return magic.from_buffer(head, mime=True)
