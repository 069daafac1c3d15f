"""Read and change the owners of many files at once.

Each function needs the same few statements for one file as for a thousand. None of them
checks whether a file may move: see :mod:`ckanext.files.ownership`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.orm import Session

from .models import (
    FileRecord,
    Owner,
    array_literal,
    expire,
    file_table,
    flush_files,
    history_table,
    owner_table,
)


class OwnerChange(NamedTuple):
    """The new owner of a file."""

    owner: Owner
    pinned: bool


# Both join the ids as a table: for `= ANY (...)` with hundreds of ids PostgreSQL reads the
# whole table of files.

_WITH_OWNER = sa.text(f"""
    SELECT file_id, owner_type, owner_id, pinned
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    JOIN {owner_table} ON file_id = wanted.id
""")

_WITHOUT_OWNER = sa.text(f"""
    SELECT file.id
    FROM unnest(CAST(:ids AS text[])) AS wanted (id)
    JOIN {file_table} AS file ON file.id = wanted.id
""")


def read_files(session: Session, ids: Collection[str]) -> dict[str, FileRecord]:
    """Return the records of the files that exist, by their ids."""
    flush_files(session)
    owned = session.execute(_WITH_OWNER, {"ids": array_literal(ids)})
    files = {
        id_: FileRecord(id_, Owner(type_, owner_id), pinned)
        for id_, type_, owner_id, pinned in owned
    }
    if rest := set(ids).difference(files):
        free = session.execute(_WITHOUT_OWNER, {"ids": array_literal(rest)}).scalars()
        files.update((id_, FileRecord(id_, None, False)) for id_ in free)
    return files


_OWNERS = sa.text(f"""
    SELECT DISTINCT owner_type, owner_id
    FROM
        unnest(CAST(:types AS text[]), CAST(:ids AS text[])) AS wanted (type, id)
        JOIN {owner_table} ON owner_type = wanted.type AND owner_id = wanted.id
""")


def owners_with_files(session: Session, owners: Collection[Owner]) -> set[Owner]:
    """Return the owners that have files, whether the owners themselves exist or not."""
    return {Owner(*row) for row in session.execute(_OWNERS, _literals(owners))}


def _literals(owners: Collection[Owner]) -> dict[str, str]:
    return {
        "types": array_literal(owner.type for owner in owners),
        "ids": array_literal(owner.id for owner in owners),
    }


_LOCK = sa.text(f"""
    SELECT file_id
    FROM
        unnest(CAST(:ids AS text[])) AS wanted (id)
        JOIN {owner_table} AS owner ON file_id = wanted.id
    ORDER BY wanted.id
    FOR UPDATE OF owner
""")


def lock_owners_of(session: Session, ids: Collection[str]) -> None:
    """Lock the rows of the owners of files until the transaction ends, in the order of the ids.

    For a transaction that changes files in several steps: they would lock the rows in an order
    of their own otherwise.
    """
    flush_files(session)
    session.execute(_LOCK, {"ids": array_literal(ids)}).all()


# Changes the owners of files that have one, and keeps the old one in the history. Locks all
# rows in one order, also those that are no longer as they were.
_REPLACE = sa.text(f"""
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
    recorded AS (
        INSERT INTO {history_table} (id, file_id, owner_type, owner_id, actor, action, at)
        SELECT CAST(md5(:seed || id) AS uuid), id, old_type, old_id, :actor, 'transfer', now()
        FROM changed
        WHERE (owner_type, owner_id) <> (old_type, old_id)
    )
    SELECT id FROM changed
""")

# Adds an owner to files that have none. It takes the lock of a foreign key, which CKAN's own
# transfer takes as well.
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


def change_owners(
    session: Session,
    files: Mapping[str, FileRecord],
    changes: Mapping[str, OwnerChange],
    actor: str,
) -> set[str]:
    """Change the owners of those files that are still as their records show them.

    Two statements at most. Both lock the rows that they find until the transaction ends, in
    the order of the ids: transactions that want the same files wait for each other and never
    in a circle. A transaction that deletes a file waits as well: CKAN deletes the row of its
    owner first.

    A file that leaves an owner gets a row in the history, as CKAN writes it.

    :param files: records of the files, by id. May contain further files.
    :param changes: the new owners, by id of the file.
    :param actor: name of the user for the history.
    :returns: the ids of files that did not change because they have got another owner or were
        deleted since they were read. The rows of those with an owner are locked now.
    """
    flush_files(session)
    owned = {id_: owner for id_ in changes if (owner := files[id_].owner)}
    changed: set[str] = set()
    if owned:
        old = {
            "old_types": array_literal(owner.type for owner in owned.values()),
            "old_ids": array_literal(owner.id for owner in owned.values()),
            "old_pinned": array_literal(files[id_].pinned for id_ in owned),
        }
        new = _parameters({id_: changes[id_] for id_ in owned})
        values = {**new, **old, "actor": actor, "seed": make_uuid()}
        changed.update(session.execute(_REPLACE, values).scalars())
    if free := {id_: change for id_, change in changes.items() if id_ not in owned}:
        changed.update(session.execute(_ADD, _parameters(free)).scalars())
    expire(session, changes)
    return changes.keys() - changed


def _parameters(changes: Mapping[str, OwnerChange]) -> dict[str, str]:
    return {
        "ids": array_literal(changes),
        "owner_types": array_literal(change.owner.type for change in changes.values()),
        "owner_ids": array_literal(change.owner.id for change in changes.values()),
        "pinned": array_literal(change.pinned for change in changes.values()),
    }
