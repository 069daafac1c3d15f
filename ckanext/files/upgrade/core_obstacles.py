"""Obstacles to a move of files from our tables into CKAN 2.12's.

A move looks for all of them before it changes anything. Each has an advice for
the operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ckanext.files.backport.tables import file_table as old_file
from ckanext.files.backport.tables import history_table as old_history
from ckanext.files.store.models import file_table as core_file
from ckanext.files.store.models import history_table as core_history
from ckanext.files.store.models import owner_table as core_owner
from ckanext.files.store.storages import is_configured

from .core_move import Obstacle, UnmovedFiles
from .table_check import check_tables

_MAX_PLACES = 20

_MERGE = (
    "They are one file under two ids, or one has overwritten the other. Keep the id that datasets "
    "name, and delete the row of the other one"
)


def find_obstacles(connection: Connection) -> list[Obstacle]:
    """Return the obstacles, in the order in which the operator should deal with them."""
    shapes = list(_shapes(connection))
    if shapes:
        # the other queries need columns that may be missing
        return shapes + list(_twice(connection))
    waiting = UnmovedFiles(connection)
    return [
        *_twice(connection),
        *_unknown_storages(connection, waiting),
        *_ids_taken(connection, waiting),
        *_places_taken(connection, waiting),
        *_transfers_taken(connection, waiting),
    ]


def _shapes(connection: Connection) -> Iterator[Obstacle]:
    tables = sa.inspect(connection)
    lacking = [
        t.name for t in (core_file, core_owner, core_history) if not tables.has_table(t.name)
    ]
    if lacking:
        yield _obstacle(
            "CKAN's own tables of files are missing", "Make them with: ckan db upgrade", lacking
        )
    check = check_tables(connection)
    if differences := [*check.obstacles, *(step.text for step in check.steps)]:
        yield _obstacle(
            "The old tables are not as they should be; this is to be done or stands in the way",
            "Put it right with: ckan files takeover",
            differences,
        )


def _twice(connection: Connection) -> Iterator[Obstacle]:
    tables: Any = sa.inspect(connection)
    if not tables.has_table(old_file.name):
        return
    names = {column["name"] for column in tables.get_columns(old_file.name)}
    if not {"id", "storage", "location"} <= names:
        return
    # the unique index forbids this, unless it was removed or PostgreSQL could not finish it
    places = _ask(
        connection,
        f"""
        SELECT storage || ': ' || location || ' has the ids ' || string_agg(id, ', ' ORDER BY id)
        FROM {old_file} GROUP BY storage, location HAVING count(*) > 1
        """,
    )
    yield from _if_any(
        "Places that are in the old tables more than once",
        f"{_MERGE} from {old_file}.",
        places,
    )


def _unknown_storages(connection: Connection, waiting: UnmovedFiles) -> Iterator[Obstacle]:
    statement = f"SELECT storage, count(*) FROM {waiting.files} GROUP BY storage ORDER BY storage"
    unknown = [row for row in connection.execute(sa.text(statement)) if not is_configured(row[0])]
    if unknown:
        yield _obstacle(
            "Storages that this portal does not have",
            "Give each of them its options, ckan.files.storage.NAME.type and what that type needs, "
            "as they were on CKAN 2.11. For options of ckanext-files 1.x ask: ckan files takeover "
            "--dry-run",
            [f"{name}: {files} files" for name, files in unknown],
        )


def _ids_taken(connection: Connection, waiting: UnmovedFiles) -> Iterator[Obstacle]:
    places = _ask(
        connection,
        f"""
        SELECT old.id || ' is ' || old.storage || ': ' || old.location || ' here, and '
            || core.storage || ': ' || core.location || ' in CKAN'
        FROM {old_file} AS old JOIN {core_file} AS core ON core.id = old.id
        WHERE (core.storage, core.location) <> (old.storage, old.location)
            AND NOT {waiting.was_moved}
        """,
    )
    yield from _if_any(
        "Ids that CKAN has already, for files in other places",
        f"See which of the two files is meant, and delete the row of the other one from {old_file} "
        "or with CKAN's action file_delete. If CKAN's is the same file under a new name, delete "
        f"the row from {old_file}.",
        places,
    )


def _places_taken(connection: Connection, waiting: UnmovedFiles) -> Iterator[Obstacle]:
    places = _ask(
        connection,
        f"""
        SELECT old.storage || ': ' || old.location || ' has the id ' || old.id || ' here, and '
            || core.id || ' in CKAN'
        FROM {old_file} AS old JOIN {core_file} AS core
            ON (core.storage, core.location) = (old.storage, old.location) AND core.id <> old.id
        WHERE {waiting.waits}
        """,
    )
    yield from _if_any(
        "Places that CKAN has already, under other ids",
        f'{_MERGE} from {old_file} or from CKAN\'s table "{core_file}" (the action file_delete '
        "would delete the bytes too).",
        places,
    )


def _transfers_taken(connection: Connection, waiting: UnmovedFiles) -> Iterator[Obstacle]:
    places = _ask(
        connection,
        f"""
        SELECT past.id || ' is of the file ' || past.file_id || ' here, and of '
            || core_past.file_id || ' in CKAN'
        FROM {old_file} AS old JOIN {old_history} AS past ON past.file_id = old.id
            JOIN {core_history} AS core_past ON core_past.id = past.id
        WHERE {waiting.waits}
        """,
    )
    yield from _if_any(
        "Lines of history whose ids CKAN has already",
        f"Give the lines in {old_history} other ids.",
        places,
    )


def _ask(connection: Connection, query: str) -> list[Any]:
    """Return the first rows of a query for one text, each with the number of all rows."""
    statement = (
        f"SELECT found.*, count(*) OVER () FROM ({query} ORDER BY 1) AS found LIMIT {_MAX_PLACES}"
    )
    return list(connection.execute(sa.text(statement)))


def _if_any(text: str, advice: str, answers: list[Any]) -> Iterator[Obstacle]:
    if answers:
        yield Obstacle(text, advice, [row[0] for row in answers], answers[0][1])


def _obstacle(text: str, advice: str, places: list[str]) -> Obstacle:
    return Obstacle(text, advice, places[:_MAX_PLACES], len(places))
