"""The adapters ``files:NAME``: file-keeper's own, as storages of CKAN.

CKAN 2.12 asks for them through its interface ``IFiles``. On CKAN 2.11 the
backport registers the same ones beside those of CKAN.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities
from ckanext.files.filekeeper import adapters as wrapped

_BASES = import_module(
    "ckan.lib.files" if capabilities.CORE_FILES else "ckanext.files.backport.storage"
)


def adapters() -> dict[str, Any]:
    """Return what file-keeper offers, where the libraries are installed."""
    return wrapped.adapters(_BASES)
