"""Moving files from our tables into CKAN 2.12's, in one transaction.

Files keep their ids, owners, pins and history, so all references to them stay
valid. No byte of a file is touched. Rows that CKAN has already stay as they are;
our tables stay as they are too, so that a portal can go back to CKAN 2.11.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa
from ckan.plugins import toolkit as tk
from sqlalchemy.engine import Connection, Engine

from ckanext.files.backport.tables import file_table as old_file
from ckanext.files.backport.tables import history_table as old_history
from ckanext.files.backport.tables import owner_table as old_owner
from ckanext.files.errors import FilesError
from ckanext.files.search import create_indexes
from ckanext.files.store.models import file_table as core_file
from ckanext.files.store.models import history_table as core_history
from ckanext.files.store.models import owner_table as core_owner

from .core_move import CoreMove, StorageCount, UnmovedFiles, moved_table
from .core_obstacles import find_obstacles
from .table_locks import lock_tables

OLD_TABLES = tuple(t.name for t in (old_history, old_owner, old_file, moved_table))
"""Tables that CKAN 2.12 does not need after the move, in the order in which they can be dropped."""

_BATCH = 5000

Progress = Callable[[int], Any]


class MoveInterruptedError(FilesError):
    """Other rows have moved than a look has found before. Nothing has been changed."""


def look_at_core_move(engine: Engine) -> CoreMove:
    """Return what a move would do, or the obstacles. Nothing is changed."""
    with engine.connect() as connection, connection.begin():
        # one snapshot of all tables, in which PostgreSQL refuses each change
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        return _look(connection)


def move_to_core(
    engine: Engine, begin: Callable[[int], Any] | None = None, progress: Progress | None = None
) -> CoreMove:
    """Move all files that CKAN's tables do not have, unless there is an obstacle.

    Requests that upload or delete a file wait meanwhile; downloads go on.

    :param begin: called with the number of files before the first one moves.
    :param progress: called with the number of files of each batch.
    :returns: what was done, or the obstacles.
    :raises TablesInUseError: another transaction uses the tables.
    :raises MoveInterruptedError: the tables have changed meanwhile, in spite of the locks.
    """
    with engine.begin() as connection:
        if not _exist(connection):
            # CKAN's own migrations may have made the table again, since ours made the indexes
            create_indexes(connection)
            return CoreMove(tables_exist=False)
        _lock(connection)
        move = _look(connection)
        if move.obstacles:
            return move
        moved_table.create(connection, checkfirst=True)
        # the migration has made the indexes of our table only
        create_indexes(connection)
        if begin:
            begin(move.waiting)
        done = _move(connection, progress or (lambda _: None))
        expected = (move.waiting, move.owners, move.transfers)
        if done != expected:
            raise MoveInterruptedError(
                f"Of files, owners and lines of history {expected} were to be moved, but it "
                f"would have been {done}. Nothing has been changed; please report this."
            )
        connection.execute(sa.text(f"ANALYZE {core_file}, {core_owner}, {core_history}"))
        return move


def _exist(connection: Connection) -> bool:
    tables = sa.inspect(connection)
    return any(tables.has_table(table.name) for table in (old_file, old_owner, old_history))


def _lock(connection: Connection) -> None:
    """Keep other transactions from writing; they can read.

    A lock on CKAN's table of files is enough: a transaction that would write an
    owner or a line of history of a moved file cannot see this file yet.
    """
    tables = sa.inspect(connection)
    locks = [
        f"{table} IN {mode} MODE"
        for table, mode in (
            (core_file, "SHARE ROW EXCLUSIVE"),
            (old_file, "SHARE"),
            (old_owner, "SHARE"),
            (old_history, "SHARE"),
        )
        if tables.has_table(table.name)
    ]
    lock_tables(connection, locks, "wait for uploads and other moves to end, and try again")


def _look(connection: Connection) -> CoreMove:
    if not _exist(connection):
        return CoreMove(tables_exist=False)
    if obstacles := find_obstacles(connection):
        return CoreMove(obstacles=obstacles)
    waiting = UnmovedFiles(connection)
    return CoreMove(
        storages=_count_by_storage(connection, waiting),
        owners=_count_of_waiting(connection, waiting, old_owner),
        transfers=_count_of_waiting(connection, waiting, old_history),
        warnings=[*_cascade_warnings(connection, waiting), *_owner_warnings(connection, waiting)],
    )


def _count_by_storage(connection: Connection, waiting: UnmovedFiles) -> list[StorageCount]:
    statement = f"""
        SELECT storage,
            count(*) FILTER (WHERE {waiting.waits}),
            count(*) FILTER (WHERE {waiting.is_in_core}),
            count(*) FILTER (WHERE {waiting.was_moved} AND NOT {waiting.is_in_core})
        FROM {old_file} AS old GROUP BY storage ORDER BY storage
    """
    return [StorageCount(*row) for row in connection.execute(sa.text(statement))]


def _count_of_waiting(connection: Connection, waiting: UnmovedFiles, table: sa.Table) -> int:
    statement = f"""
        SELECT count(*) FROM {table} AS other JOIN {old_file} AS old ON old.id = other.file_id
        WHERE {waiting.waits}
    """
    return connection.execute(sa.text(statement)).scalar_one()


def _cascade_warnings(connection: Connection, waiting: UnmovedFiles) -> list[str]:
    """Warn of files that only sysadmins will be able to download."""
    statement = f"""
        SELECT owner.owner_type, old.storage, count(*)
        FROM {old_file} AS old JOIN {old_owner} AS owner ON owner.file_id = old.id
        WHERE {waiting.waits} GROUP BY 1, 2 ORDER BY 1, 2
    """
    cascade: Mapping[str, Collection[str]] = tk.config["ckan.files.owner.cascade_access"]
    return [
        f"{files} files in the storage {storage} belong to owners of the type {type_}: to see the "
        f"owner is not enough to download them, unless ckan.files.owner.cascade_access has {type_}"
        for type_, storage, files in connection.execute(sa.text(statement))
        # users can always download their own files
        if type_ != "user"
        and (type_ not in cascade or (cascade[type_] and storage not in cascade[type_]))
    ]


def _owner_warnings(connection: Connection, waiting: UnmovedFiles) -> list[str]:
    statement = f"""
        SELECT count(*)
        FROM {old_file} AS old JOIN {core_file} AS core ON core.id = old.id
            LEFT JOIN {old_owner} AS owner ON owner.file_id = old.id
            LEFT JOIN {core_owner} AS core_owner ON core_owner.file_id = old.id
        WHERE NOT {waiting.was_moved}
            AND (owner.owner_type, owner.owner_id)
                IS DISTINCT FROM (core_owner.owner_type, core_owner.owner_id)
    """
    files = connection.execute(sa.text(statement)).scalar_one()
    if not files:
        return []
    return [f"{files} files have another owner in CKAN than in the old tables: CKAN's stays"]


def _move(connection: Connection, progress: Progress) -> tuple[int, int, int]:
    """Return the numbers of moved files, owners and lines of history."""
    statement = sa.text(_statement(UnmovedFiles(connection)))
    files = owners = transfers = 0
    after = None
    while (last := _end_of_batch(connection, after)) is not None:
        counts: Any = connection.execute(statement, {"after": after, "last": last}).one()
        files, owners, transfers = files + counts[0], owners + counts[1], transfers + counts[2]
        progress(counts[0])
        after = last
    return files, owners, transfers


def _end_of_batch(connection: Connection, after: str | None) -> str | None:
    statement = f"""
        SELECT max(id) FROM (
            SELECT id FROM {old_file} WHERE CAST(:after AS text) IS NULL OR id > :after
            ORDER BY id LIMIT {_BATCH}
        ) AS batch
    """
    return connection.execute(sa.text(statement), {"after": after}).scalar()


def _statement(waiting: UnmovedFiles) -> str:
    """Return the SQL that moves one batch of files, with their owners and history."""
    file, owner, transfer = map(_columns, (core_file, core_owner, core_history))
    return f"""
        WITH batch AS MATERIALIZED (
            SELECT old.*, {waiting.waits} AS waits FROM {old_file} AS old
            WHERE (CAST(:after AS text) IS NULL OR id > :after) AND id <= :last
        ),
        file_moved AS (
            INSERT INTO {core_file} ({file}) SELECT {file} FROM batch WHERE waits RETURNING id
        ),
        owner_moved AS (
            INSERT INTO {core_owner} ({owner})
            SELECT {owner} FROM {old_owner} JOIN file_moved ON file_moved.id = file_id
            RETURNING file_id
        ),
        transfer_moved AS (
            INSERT INTO {core_history} ({transfer})
            SELECT {_columns(core_history, "past.")}
            FROM {old_history} AS past JOIN owner_moved ON owner_moved.file_id = past.file_id
            RETURNING id
        ),
        remembered AS (
            INSERT INTO {moved_table} (file_id) SELECT id FROM batch ON CONFLICT DO NOTHING
        )
        SELECT (SELECT count(*) FROM file_moved), (SELECT count(*) FROM owner_moved),
            (SELECT count(*) FROM transfer_moved)
    """


def _columns(table: sa.Table, prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{column.name}"' for column in table.columns)
