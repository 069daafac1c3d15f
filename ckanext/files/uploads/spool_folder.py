"""The folder of the spool, and the files in it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import ckan.plugins.toolkit as tk

from ckanext.files.store.overlapping_storages import configured_spool

from .errors import UploadsNotReadyError

LINK = ".link"
"""At the end of the name of a link that is about to get its place in a storage."""

_NAME = re.compile(rf"[A-Za-z0-9_-]{{32}}(?:{re.escape(LINK)})?")
"""Of the file of an upload, or of that link."""


def spool_folder() -> Path:
    """Return the folder of bytes that have arrived, until they are complete.

    :raises UploadsNotReadyError: no option names a folder.
    """
    if path := configured_spool():
        return Path(path)
    sentence = tk._("Uploads need one of the options {options}")
    options = "ckanext.files.uploads.path, ckan.storage_path"
    raise UploadsNotReadyError(sentence.format(options=options))


def is_writable(folder: Path) -> bool:
    """Return whether CKAN may write into a folder, as it may not while it is not mounted."""
    # an unmounted mount point belongs to another user
    return os.access(folder, os.W_OK)


def remove_from_spool(id_: str) -> None:
    """Remove what the spool has of an upload; a portal that has only buckets has no spool."""
    with suppress(UploadsNotReadyError):
        (spool_folder() / id_).unlink(missing_ok=True)


def spooled_files() -> list[Path]:
    """Return the files in the spool, each with the id of its upload as its name.

    What else lies in that folder is left out, such as the files of a storage.
    """
    try:
        return [path for path in spool_folder().iterdir() if _NAME.fullmatch(path.name)]
    except (UploadsNotReadyError, FileNotFoundError):
        return []
