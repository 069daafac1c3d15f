"""Give many files to their new owners."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.orm import Session

from .arrays import literal
from .identity import expire, flush_files
from .models import file_table, history_table, owner_table
from .records import FileRecord, Owner


class Move(NamedTuple):
    """A file as it was when somebody decided that it may move, and how it is to be."""

    file: FileRecord
    owner: Owner
    pinned: bool


# Moves files that have an owner, and remembers the old one. All are locked, in
# one order, also those that are not as they were.
_CHANGE = sa.text(f"""
    WITH locked AS (
        SELECT
            new.*,
            (owner.owner_type, owner.owner_id, owner.pinned)
                = (new.old_type, new.old_id, new.old_pinned) AS is_as_it_was
        FROM
            unnest(
                CAST(:ids AS text[]),
                CAST(:owner_types AS text[]), CAST(:owner_ids AS text[]), CAST(:pinned AS bool[]),
                CAST(:old_types AS text[]), CAST(:old_ids AS text[]), CAST(:old_pinned AS bool[])
            ) AS new (id, owner_type, owner_id, pinned, old_type, old_id, old_pinned)
            JOIN {owner_table} AS owner ON owner.file_id = new.id
        ORDER BY new.id
        FOR UPDATE OF owner
    ),
    changed AS (
        UPDATE {owner_table} AS owner
        SET owner_type = locked.owner_type, owner_id = locked.owner_id, pinned = locked.pinned
        FROM locked
        WHERE owner.file_id = locked.id AND locked.is_as_it_was
        RETURNING locked.*
    ),
    remembered AS (
        INSERT INTO {history_table} (id, file_id, owner_type, owner_id, actor, action, at)
        SELECT CAST(md5(:seed || id) AS uuid), id, old_type, old_id, :actor, 'transfer', now()
        FROM changed
        WHERE (owner_type, owner_id) <> (old_type, old_id)
    )
    SELECT id FROM changed
""")

# Gives an owner to files that have none. The lock is that of a foreign key,
# which CKAN's own transfer takes as well.
_ADD = sa.text(f"""
    INSERT INTO {owner_table} (file_id, owner_type, owner_id, pinned)
    SELECT new.*
    FROM
        unnest(
            CAST(:ids AS text[]),
            CAST(:owner_types AS text[]), CAST(:owner_ids AS text[]), CAST(:pinned AS bool[])
        ) AS new (id, owner_type, owner_id, pinned)
        JOIN {file_table} AS file ON file.id = new.id
    ORDER BY new.id
    FOR KEY SHARE OF file
    ON CONFLICT DO NOTHING
    RETURNING file_id
""")


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
        "ids": literal(move.file.id for move in moves),
        "owner_types": literal(move.owner.type for move in moves),
        "owner_ids": literal(move.owner.id for move in moves),
        "pinned": literal(move.pinned for move in moves),
    }


def _old(moves: list[Move]) -> dict[str, str]:
    owners = [move.file.owner for move in moves if move.file.owner]
    return {
        "old_types": literal(owner.type for owner in owners),
        "old_ids": literal(owner.id for owner in owners),
        "old_pinned": literal(move.file.pinned for move in moves),
    }
