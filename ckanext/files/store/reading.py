"""Read and lock the owners of many files at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from .identity import expire, flush_files
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

_LOCK_OWNERS = (
    sa.select(
        owner_table.c.file_id,
        owner_table.c.owner_type,
        owner_table.c.owner_id,
        owner_table.c.pinned,
    )
    .where(owner_table.c.file_id == sa.any_(_IDS))
    .order_by(owner_table.c.file_id)
    .with_for_update()
)

_LOCK_FILES = (
    sa.select(file_table.c.id)
    .where(file_table.c.id == sa.any_(_IDS))
    .order_by(file_table.c.id)
    # not the strongest lock: CKAN's own transfer inserts an owner and then waits
    # for the file, while we would wait for that owner
    .with_for_update(key_share=True)
)


def read(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Return what is known of these files; those that do not exist are left out."""
    flush_files(session)
    return _records(session.execute(_READ, {"ids": list(ids)}))


def lock(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Keep everybody else from giving these files away or deleting them, and read them.

    The locks last until the transaction ends. What is locked is the owner,
    which CKAN deletes before it deletes the file, or else the file. Locks are
    always taken in one order, so that those who want the same files wait for
    each other and never in a circle: owners before files, each sorted by id.

    A file without an owner may get one while it is waited for: ``give`` finds out.
    """
    flush_files(session)
    files = _records(session.execute(_LOCK_OWNERS, {"ids": list(ids)}))
    free = [id_ for id_ in ids if id_ not in files]
    if free:
        found = session.execute(_LOCK_FILES, {"ids": free}).scalars()
        files.update((id_, FileRecord(id_, None, False)) for id_ in found)
    expire(session, ids)
    return files


def _records(rows: Any) -> dict[str, FileRecord]:
    return {
        id_: FileRecord(id_, Owner(type_, owner_id) if type_ else None, bool(pinned))
        for id_, type_, owner_id, pinned in rows
    }
