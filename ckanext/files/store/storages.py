"""The storages that CKAN's configuration names: those of CKAN 2.12 or of the backport.

The only module that says where they come from.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities

#: What :mod:`..keeper` makes adapters of.
bases: Any = import_module(
    "ckan.lib.files" if capabilities.CORE_FILES else "ckanext.files.backport.storages"
)

Capability: Any = bases.Capability
FileData: Any = bases.FileData
Location: Any = bases.Location
Reader: Any = bases.Reader
Settings: Any = bases.Settings
Storage: Any = bases.Storage
Upload: Any = bases.Upload
exc: Any = bases.exc
get_storage: Any = bases.get_storage
is_supported_type: Any = bases.is_supported_type
make_upload: Any = bases.make_upload
reset: Any = bases.reset
storages: Any = bases.storages


def is_configured(name: str) -> bool:
    """Tell whether there is a storage of that name."""
    return name in storages
