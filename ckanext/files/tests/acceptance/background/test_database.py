"""``ckan db ...`` and ``ckan files background init`` get along, in a database of their own."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.server import write_ini

loaded = load_plugins("files", "files_background")

Ckan = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database(f"ckan_background_{uuid.uuid4().hex[:12]}")
    database.create()
    yield database
    database.drop()


@pytest.fixture
def ckan(database: Database, tmp_path: Path, pytestconfig: pytest.Config) -> Ckan:
    """Start a command in a process of its own."""
    ini = tmp_path / "ckan.ini"
    base = Path(str(pytestconfig.getoption("--ckan-ini"))).resolve()
    write_ini(ini, base, {"ckan.plugins": "files files_background"})

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ckan", "-c", str(ini), *arguments],
            env={**os.environ, "CKAN_SQLALCHEMY_URL": database.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(*commands: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for commands; return what they have printed."""
    said = "".join(command.communicate(timeout=120)[0] for command in commands)
    assert [command.returncode for command in commands] == [code] * len(commands), said
    return said


def tables(database: Database, schema: str) -> set[Any]:
    query = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"
    return {name for (name,) in database.rows(query)}


def test_database(database: Database, ckan: Ckan) -> None:
    background = ("files", "background")
    finish(ckan("db", "init"))
    assert tables(database, SCHEMA) == set()  # never by itself

    said = finish(ckan(*background, "worker"), ckan(*background, "status"), code=1)
    assert said.count("Run: ckan files background init") == 2

    # two at once, and again
    finish(ckan(*background, "init"), ckan(*background, "init"))
    made = tables(database, SCHEMA)
    assert {"files_job", "procrastinate_jobs", "procrastinate_workers"} <= made
    finish(ckan(*background, "init"))
    assert tables(database, SCHEMA) == made
    assert "up to date" in finish(ckan(*background, "status"))

    # a job outlives what happens to CKAN's tables
    database.change(f"""
        INSERT INTO {SCHEMA}.procrastinate_jobs (task_name, queue_name, args)
        VALUES ('ckanext.files.chain', 'default', '{{"calls": []}}')
    """)
    portal = tables(database, "public")
    assert "package" in portal
    finish(ckan("db", "upgrade"))
    finish(ckan("db", "clean", "--yes"))
    assert "package" not in tables(database, "public")
    assert tables(database, SCHEMA) == made
    finish(ckan("db", "init"))
    assert tables(database, "public") == portal
    finish(ckan(*background, "worker", "--no-wait"))
    status = f"SELECT status FROM {SCHEMA}.procrastinate_jobs"
    assert database.rows(status) == [("succeeded",)]
