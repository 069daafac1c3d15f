"""Give many files to their new owners."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from .arrays import literal, rows
from .identity import expire, flush_files
from .models import file_table, history_table, owner_table
from .records import FileRecord, Owner


class Move(NamedTuple):
    """A file as it was when somebody decided that it may move, and how it is to be."""

    file: FileRecord
    owner: Owner
    pinned: bool


def _change() -> Any:
    """Build the statement that moves files which have an owner, and remembers the old one."""
    owner = owner_table.c
    new = rows(
        id=sa.TEXT,
        owner_type=sa.TEXT,
        owner_id=sa.TEXT,
        pinned=sa.BOOLEAN,
        old_type=sa.TEXT,
        old_id=sa.TEXT,
        old_pinned=sa.BOOLEAN,
    )
    is_as_it_was = sa.and_(
        owner.owner_type == new.c.old_type,
        owner.owner_id == new.c.old_id,
        owner.pinned == new.c.old_pinned,
    )
    # all are locked, in one order, also those that are not as they were
    locked = (
        sa.select(new, is_as_it_was.label("is_as_it_was"))
        .join_from(owner_table, new, owner.file_id == new.c.id)
        .order_by(owner.file_id)
        .with_for_update(of=owner_table)
        .cte("locked")
    )
    changed = (
        sa.update(owner_table)
        .where(owner.file_id == locked.c.id, locked.c.is_as_it_was)
        .values(owner_type=locked.c.owner_type, owner_id=locked.c.owner_id, pinned=locked.c.pinned)
        .returning(owner.file_id)
        .cte("changed")
    )
    left = sa.or_(locked.c.owner_type != locked.c.old_type, locked.c.owner_id != locked.c.old_id)
    seed, actor = sa.bindparam("seed", type_=sa.TEXT), sa.bindparam("actor", type_=sa.TEXT)
    remembered = (
        sa.insert(history_table)
        .from_select(
            ["id", "file_id", "owner_type", "owner_id", "actor", "action", "at"],
            sa.select(
                sa.cast(sa.cast(sa.func.md5(seed + locked.c.id), postgresql.UUID), sa.TEXT),
                locked.c.id,
                locked.c.old_type,
                locked.c.old_id,
                actor,
                sa.literal("transfer"),
                sa.func.now(),
            ).where(locked.c.is_as_it_was, left),
        )
        .cte("remembered")
    )
    given: Any = sa.select(changed.c.file_id)
    return given.add_cte(remembered)


def _add() -> Any:
    """Build the statement that gives an owner to files which have none."""
    new = rows(id=sa.TEXT, owner_type=sa.TEXT, owner_id=sa.TEXT, pinned=sa.BOOLEAN)
    existing = (
        sa.select(new)
        .join_from(file_table, new, file_table.c.id == new.c.id)
        .order_by(file_table.c.id)
        # the lock of a foreign key: CKAN's own transfer takes it as well
        .with_for_update(of=file_table, key_share=True, read=True)
    )
    return (
        postgresql.insert(owner_table)
        .from_select(["file_id", "owner_type", "owner_id", "pinned"], existing)
        .on_conflict_do_nothing()
        .returning(owner_table.c.file_id)
    )


_CHANGE, _ADD = _change(), _add()


def give(session: Session, moves: list[Move], actor: str) -> set[str]:
    """Give files to their new owners, unless they are no longer as they were.

    Two statements at most, for one file or for a thousand. Both lock what they
    find, in the order of the ids, until the transaction ends, so that those
    who want the same files wait for each other and never in a circle. Somebody
    who deletes a file waits as well: CKAN begins with its owner.

    A file that leaves an owner gets a line in its history, as CKAN writes it.

    :param actor: name of the user who wants it so.
    :returns: the ids of files that were not given away: they have got another
        owner or were deleted since they were read. Those that had an owner and
        still exist are locked now.
    """
    flush_files(session)
    owned = [move for move in moves if move.file.owner]
    free = [move for move in moves if not move.file.owner]
    given: set[str] = set()
    if owned:
        old = {**_new(owned), **_old(owned), "actor": actor, "seed": make_uuid()}
        given.update(session.execute(_CHANGE, old).scalars())
    if free:
        given.update(session.execute(_ADD, _new(free)).scalars())
    ids = {move.file.id for move in moves}
    expire(session, ids)
    return ids - given


def _new(moves: list[Move]) -> dict[str, str]:
    return {
        "id": literal(move.file.id for move in moves),
        "owner_type": literal(move.owner.type for move in moves),
        "owner_id": literal(move.owner.id for move in moves),
        "pinned": literal(move.pinned for move in moves),
    }


def _old(moves: list[Move]) -> dict[str, str]:
    owners = [move.file.owner for move in moves if move.file.owner]
    return {
        "old_type": literal(owner.type for owner in owners),
        "old_id": literal(owner.id for owner in owners),
        "old_pinned": literal(move.file.pinned for move in moves),
    }
