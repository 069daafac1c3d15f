"""Read the owners of many files at once."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .arrays import array, literal
from .identity import flush_files
from .models import file_table, owner_table
from .records import FileRecord, Owner

_READ = (
    sa.select(
        file_table.c.id, owner_table.c.owner_type, owner_table.c.owner_id, owner_table.c.pinned
    )
    .outerjoin_from(
        file_table,
        owner_table,
        # named twice, so that PostgreSQL looks up the few owners instead of reading all
        sa.and_(
            owner_table.c.file_id == file_table.c.id, owner_table.c.file_id == sa.any_(array("ids"))
        ),
    )
    .where(file_table.c.id == sa.any_(array("ids")))
)


def read(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Return what is known of these files; those that do not exist are left out."""
    flush_files(session)
    return {
        id_: FileRecord(id_, Owner(type_, owner_id) if type_ else None, bool(pinned))
        for id_, type_, owner_id, pinned in session.execute(_READ, {"ids": literal(ids)})
    }
