"""The folder of uploads that are not complete: what is there belongs to no storage."""

from __future__ import annotations

import os

from ckan.common import config

_FOLDER = "files_uploads"


def configured_spool() -> str | None:
    """Return its path; None if no option names a folder."""
    if path := config.get("ckanext.files.uploads.path", ""):
        return path
    if path := config.get("ckan.storage_path", ""):
        return os.path.join(path, _FOLDER)  # noqa: PTH118
    return None
