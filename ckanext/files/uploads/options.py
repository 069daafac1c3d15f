"""The options of uploads."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import ckan.plugins.toolkit as tk

from ckanext.files.store.spool_folder import configured_spool

from .errors import UploadsNotReadyError

_PREFIX = "ckanext.files.uploads"


def lifetime() -> timedelta:
    """Return how long an upload waits for its next bytes."""
    return timedelta(days=tk.config[f"{_PREFIX}.expire_after"])


def most_unfinished() -> int:
    """Return how many unfinished uploads one user may have."""
    return tk.config[f"{_PREFIX}.max_unfinished"]


def spool_folder() -> Path:
    """Return the folder of bytes that have arrived, until they are complete.

    :raises UploadsNotReadyError: no option names a folder.
    """
    if path := configured_spool():
        return Path(path)
    sentence = tk._("Uploads need one of the options {options}")
    raise UploadsNotReadyError(sentence.format(options=f"{_PREFIX}.path, ckan.storage_path"))
