"""The storages that CKAN's configuration names, and the adapters that this extension adds.

The storages come from CKAN 2.12 or from the backport: no other module of the product imports
them from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckan.common import config

from ckanext.files import capabilities
from ckanext.files.filekeeper import adapters as filekeeper_adapters

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


def storage_name(given: Any) -> Any:
    """Return the name of the storage that an argument names: without one, CKAN's default storage.

    :param given: of any type, as CKAN's actions get it.
    """
    return config["ckan.files.default_storages.default"] if given in (None, "") else given


def is_configured(name: str) -> bool:
    """Return whether there is a storage of that name."""
    return name in storages


def adapters() -> dict[str, Any]:
    """Return the adapters ``files:NAME``, for the adapters of file-keeper that are installed.

    CKAN 2.12 asks for them through its interface ``IFiles``. On CKAN 2.11 the backport
    registers the same adapters beside CKAN's own.
    """
    return filekeeper_adapters.adapters(_source)
