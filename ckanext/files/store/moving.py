"""Give many files to their new owners."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from .identity import expire
from .models import history_table, owner_table
from .records import FileRecord, Owner


class Move(NamedTuple):
    """A file as it is, and how it is to be."""

    file: FileRecord
    owner: Owner
    pinned: bool


def _rows(**columns: Any) -> Any:
    """Return a table of values: one array for each column, whatever the number of rows."""
    arrays = (
        # a type in the statement itself: PostgreSQL cannot tell that of an empty array
        sa.cast(sa.bindparam(name, type_=postgresql.ARRAY(type_)), postgresql.ARRAY(type_))
        for name, type_ in columns.items()
    )
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived("new")


_NEW = _rows(id=sa.TEXT, owner_type=sa.TEXT, owner_id=sa.TEXT, pinned=sa.BOOLEAN)

_CHANGE = (
    sa.update(owner_table)
    .where(owner_table.c.file_id == _NEW.c.id)
    .values(owner_type=_NEW.c.owner_type, owner_id=_NEW.c.owner_id, pinned=_NEW.c.pinned)
)

_ADD = (
    postgresql.insert(owner_table)
    .from_select(
        ["file_id", "owner_type", "owner_id", "pinned"],
        sa.select(*_NEW.c),
    )
    .on_conflict_do_nothing()
    .returning(owner_table.c.file_id)
)

_FORMER = _rows(id=sa.TEXT, file_id=sa.TEXT, owner_type=sa.TEXT, owner_id=sa.TEXT)

_REMEMBER = sa.insert(history_table).from_select(
    ["id", "file_id", "owner_type", "owner_id", "actor", "action", "at"],
    sa.select(
        *_FORMER.c,
        sa.bindparam("actor", type_=sa.TEXT),
        sa.literal("transfer"),
        sa.func.now(),
    ),
)


def give(session: Session, moves: list[Move], actor: str) -> set[str]:
    """Make these the owners of files that this transaction has locked.

    A file that leaves an owner gets a line in its history, as CKAN writes it.

    :param actor: name of the user who wants it so.
    :returns: the ids of files that had no owner and have got another one
        meanwhile: CKAN's own transfer locks nothing. All others are done.
    """
    owned = [move for move in moves if move.file.owner]
    free = [move for move in moves if not move.file.owner]
    taken: set[str] = set()
    if free:
        added = set(session.execute(_ADD, _new(free)).scalars())
        taken = {move.file.id for move in free} - added
    if owned:
        session.execute(_CHANGE, _new(owned))
    former = [move.file for move in owned if move.file.owner != move.owner]
    if former:
        session.execute(_REMEMBER, {"actor": actor, **_history(former)})
    expire(session, {move.file.id for move in moves})
    return taken


def _new(moves: list[Move]) -> dict[str, list[Any]]:
    return {
        "id": [move.file.id for move in moves],
        "owner_type": [move.owner.type for move in moves],
        "owner_id": [move.owner.id for move in moves],
        "pinned": [move.pinned for move in moves],
    }


def _history(files: list[FileRecord]) -> dict[str, list[str]]:
    former = [(file.id, file.owner) for file in files if file.owner]
    return {
        "id": [make_uuid() for _ in former],
        "file_id": [file_id for file_id, _ in former],
        "owner_type": [owner.type for _, owner in former],
        "owner_id": [owner.id for _, owner in former],
    }
