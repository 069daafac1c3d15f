"""The storages that CKAN's configuration names: those of CKAN 2.12 or of the backport.

The only module that says where they come from.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities

_source: Any = import_module(
    "ckan.lib.files" if capabilities.CORE_FILES else "ckanext.files.backport.storage"
)

Capability: Any = _source.Capability
FileData: Any = _source.FileData
Location: Any = _source.Location
Upload: Any = _source.Upload
exc: Any = _source.exc
get_storage: Any = _source.get_storage
make_upload: Any = _source.make_upload
storages: Any = _source.storages


def is_configured(name: str) -> bool:
    """Tell whether there is a storage of that name."""
    return name in storages
