"""The SQL of background tasks: its loader, and tables of an older version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ckan import model
from procrastinate.sql import queries as procrastinate_queries

from ckanext.files import advisory_locks, background
from ckanext.files.background import schema, sql
from ckanext.files.background.errors import NotInstalledError
from ckanext.files.background.sql import SCHEMA
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

ROOM = Path(next(iter(background.__path__)))


def test_every_query_is_used() -> None:
    """And every query that a module asks for exists."""
    code = "".join(path.read_text() for path in ROOM.rglob("*.py"))
    used = set(re.findall(r'(?:query|_value|_executed|_signal)\(\s*"(\w+)"', code))
    queries = "".join(path.read_text() for path in ROOM.glob("sql/queries/*.sql"))
    assert used == set(re.findall(r"^-- name: (\w+)$", queries, re.MULTILINE))


def test_names_in_queries() -> None:
    """Tables and functions get the schema, channels do not; a driver has its own parameters."""
    retry = str(sql.query("retry_job"))
    assert f"UPDATE {SCHEMA}.files_job" in retry
    assert "'procrastinate_any_queue_v1'" in retry
    assert "'procrastinate_queue_v1#'" in retry
    assert sql.driver_query("heartbeat").endswith("WHERE id = %(worker)s")
    for query in procrastinate_queries.values():
        names = re.findall(r"\S*\bprocrastinate_\w+", sql.qualified(query))
        assert all(f"{SCHEMA}.procrastinate_" in name for name in names), query


def test_key_of_a_lock_in_a_function() -> None:
    """It is the number that Python has, which SQL cannot import."""
    _, functions = sql.scripts()
    [key] = re.findall(r"advisory\w+\((\d+),", functions)
    assert int(key) == advisory_locks.SUSPECT_JOBS


@pytest.fixture
def older() -> Iterator[None]:
    """Tables of an earlier version, with a job."""
    model.Session.remove()
    change(f"""
        SET LOCAL search_path = {SCHEMA};
        ALTER TABLE files_job RENAME COLUMN resume_order TO turn;
        ALTER INDEX files_job_resume_order_idx RENAME TO files_job_turn_idx;
        ALTER FUNCTION files_release_jobs RENAME TO files_take_away;
        DROP FUNCTION files_claim;
        CREATE FUNCTION files_claim(_queue varchar[], _worker bigint, _any boolean)
            RETURNS bigint LANGUAGE sql AS 'SELECT 1';
        UPDATE files_version SET own = 'older';
        WITH job AS (
            INSERT INTO procrastinate_jobs (task_name, queue_name, status)
            VALUES ('{sample.noop.name}', 'q', 'doing') RETURNING id
        )
        INSERT INTO files_job (job_id, turn) SELECT id, 7 FROM job
    """)
    yield
    schema.ensure(engine())


def test_older_tables(older: None) -> None:
    """Jobs stay, functions with other names or parameters do not."""
    with pytest.raises(NotInstalledError, match="Stop the workers"), engine().connect() as found:
        schema.check(found)
    assert schema.install(engine()) is False
    functions = look(
        f"SELECT array_agg(proname) FROM pg_proc WHERE pronamespace = '{SCHEMA}'::regnamespace"
    )
    assert "files_release_jobs" in functions
    assert "files_take_away" not in functions
    assert functions.count("files_claim") == 1
    assert look(f"SELECT resume_order FROM {SCHEMA}.files_job") == 7
    model.Session.remove()
    with engine().begin() as connection:
        schema.check(connection)
        claimed = connection.execute(sql.query("claim_job"), {"queues": None, "worker": None})
        assert sample.noop.name in claimed.scalar_one()
