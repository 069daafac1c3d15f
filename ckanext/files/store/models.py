"""The models and tables that hold files: those of CKAN 2.12 or of the backport.

The only module that says where they come from.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import sqlalchemy as sa

from ckanext.files import capabilities

_source: Any = import_module(
    "ckan.model" if capabilities.CORE_FILES else "ckanext.files.backport.model"
)

File: Any = _source.File
FileOwner: Any = _source.FileOwner
_History: Any = _source.FileOwnerTransferHistory

file_table: sa.Table = File.__table__
owner_table: sa.Table = FileOwner.__table__
history_table: sa.Table = _History.__table__

#: Names of the tables.
TABLES: frozenset[str] = frozenset(map(str, (file_table, owner_table, history_table)))
