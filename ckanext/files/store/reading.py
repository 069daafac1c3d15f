"""Read the owners of many files at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from .identity import flush_files
from .models import file_table, owner_table
from .records import FileRecord, Owner

# one array instead of a parameter for each id: the statement is the same for any number
_IDS: Any = sa.bindparam("ids", type_=ARRAY(sa.TEXT))

_READ = (
    sa.select(
        file_table.c.id, owner_table.c.owner_type, owner_table.c.owner_id, owner_table.c.pinned
    )
    .select_from(file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id))
    .where(file_table.c.id == sa.any_(_IDS))
)


def read(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Return what is known of these files; those that do not exist are left out."""
    flush_files(session)
    return {
        id_: FileRecord(id_, Owner(type_, owner_id) if type_ else None, bool(pinned))
        for id_, type_, owner_id, pinned in session.execute(_READ, {"ids": list(ids)})
    }
