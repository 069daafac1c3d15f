"""The models and tables that hold files: those of CKAN 2.12.

The only module that says where they come from.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan import model

File: Any = model.File  # pyright: ignore[reportAttributeAccessIssue]
FileOwner: Any = model.FileOwner  # pyright: ignore[reportAttributeAccessIssue]
_History: Any = model.FileOwnerTransferHistory  # pyright: ignore[reportAttributeAccessIssue]

file_table: sa.Table = File.__table__
owner_table: sa.Table = FileOwner.__table__
history_table: sa.Table = _History.__table__
