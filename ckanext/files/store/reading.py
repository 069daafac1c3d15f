"""Read the owners of many files at once."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .arrays import literal
from .identity import flush_files
from .models import file_table, owner_table
from .records import FileRecord, Owner

# Joined with the ids as a table: for `= ANY (...)` with hundreds of ids
# PostgreSQL reads all files that there are.

_OWNED = sa.text(f"""
    SELECT file_id, owner_type, owner_id, pinned
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    JOIN {owner_table} ON file_id = wanted.id
""")

_FREE = sa.text(f"""
    SELECT file.id
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    JOIN {file_table} AS file ON file.id = wanted.id
""")


def read(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Return what is known of these files; those that do not exist are left out."""
    flush_files(session)
    owned = session.execute(_OWNED, {"ids": literal(ids)})
    files = {
        id_: FileRecord(id_, Owner(type_, owner_id), pinned)
        for id_, type_, owner_id, pinned in owned
    }
    if rest := set(ids).difference(files):
        free = session.execute(_FREE, {"ids": literal(rest)}).scalars()
        files.update((id_, FileRecord(id_, None, False)) for id_ in free)
    return files
