"""The actions of files that others build on: those of CKAN 2.12 or of the backport."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities

_source: Any = import_module(
    "ckan.logic.action.file" if capabilities.CORE_FILES else "ckanext.files.backport.action"
)

#: By name.
actions: dict[str, Any] = {
    name: getattr(_source, name)
    for name in (
        "file_create",
        "file_delete",
        "file_owner_scan",
        "file_ownership_transfer",
        "file_pin",
        "file_register",
        "file_rename",
        "file_show",
        "file_unpin",
    )
}

file_create: Any = actions["file_create"]
