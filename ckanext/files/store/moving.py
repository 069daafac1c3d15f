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


_NEW = _rows(
    id=sa.TEXT, new_type=sa.TEXT, new_id=sa.TEXT, new_pinned=sa.BOOLEAN,
    old_type=sa.TEXT, old_id=sa.TEXT, old_pinned=sa.BOOLEAN,
)  # fmt: skip

_CHANGE = (
    sa.update(owner_table)
    .where(
        owner_table.c.file_id == _NEW.c.id,
        owner_table.c.owner_type == _NEW.c.old_type,
        owner_table.c.owner_id == _NEW.c.old_id,
        owner_table.c.pinned == _NEW.c.old_pinned,
    )
    .values(owner_type=_NEW.c.new_type, owner_id=_NEW.c.new_id, pinned=_NEW.c.new_pinned)
    .returning(owner_table.c.file_id)
)

_ADD = (
    postgresql.insert(owner_table)
    .from_select(
        ["file_id", "owner_type", "owner_id", "pinned"],
        sa.select(_NEW.c.id, _NEW.c.new_type, _NEW.c.new_id, _NEW.c.new_pinned),
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
    :returns: the ids of the files for which that has happened. One that had no
        owner may be missing: CKAN's own transfer locks nothing, and can have
        given it away since it was read.
    """
    given: set[str] = set()
    for statement, some in (
        (_CHANGE, [move for move in moves if move.file.owner]),
        (_ADD, [move for move in moves if not move.file.owner]),
    ):
        if some:
            given.update(session.execute(statement, _new(some)).scalars())
    former = [
        (move.file.id, move.file.owner)
        for move in moves
        if move.file.id in given and move.file.owner and move.file.owner != move.owner
    ]
    if former:
        session.execute(_REMEMBER, {"actor": actor, **_history(former)})
    expire(session, given)
    return given


def _new(moves: list[Move]) -> dict[str, list[Any]]:
    return {
        "id": [move.file.id for move in moves],
        "new_type": [move.owner.type for move in moves],
        "new_id": [move.owner.id for move in moves],
        "new_pinned": [move.pinned for move in moves],
        "old_type": [move.file.owner and move.file.owner.type for move in moves],
        "old_id": [move.file.owner and move.file.owner.id for move in moves],
        "old_pinned": [move.file.pinned for move in moves],
    }


def _history(former: list[tuple[str, Owner]]) -> dict[str, list[str]]:
    return {
        "id": [make_uuid() for _ in former],
        "file_id": [file_id for file_id, _ in former],
        "owner_type": [owner.type for _, owner in former],
        "owner_id": [owner.id for _, owner in former],
    }
