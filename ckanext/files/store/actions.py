"""The actions of files, from CKAN 2.12 or from the backport.

A module of its own because importing it imports CKAN's logic, which most users of the store
do not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities

_MODULE = "ckan.logic.action.file" if capabilities.CORE_FILES else "ckanext.files.backport.action"

actions: dict[str, Any] = {
    name: function
    for name, function in vars(import_module(_MODULE)).items()
    # CKAN, too, takes the functions that a module defines for its actions
    if name.startswith("file_") and getattr(function, "__module__", "") == _MODULE
}
"""By name."""

file_create: Any = actions["file_create"]
file_delete: Any = actions["file_delete"]
