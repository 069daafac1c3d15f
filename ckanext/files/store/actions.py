"""The actions of files that others build on: those of CKAN 2.12 or of the backport."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ckanext.files import capabilities

_source: Any = import_module(
    "ckan.logic.action.file" if capabilities.CORE_FILES else "ckanext.files.backport.action"
)

file_create: Any = _source.file_create
