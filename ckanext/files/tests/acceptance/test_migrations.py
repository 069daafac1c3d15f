"""``ckan db ...`` copes with every database that it may find."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from ckanext.files import capabilities
from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.old_tables import TABLES

FILES = [] if capabilities.CORE_FILES else ["files_file"]
REST = [] if capabilities.CORE_FILES else ["files_owner", "files_transfer_history"]
OURS = [*FILES, "files_index_intent", *REST]
THEIRS = ["files_alembic_version", "files_file", "files_owner", "files_transfer_history"]
HEAD = "c4a9e07d2f35 (head)"


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database(f"ckan_migrations_{uuid.uuid4().hex[:12]}")
    database.create()
    yield database
    database.drop()


def ckan_db(database: Database, *arguments: str, ini: str) -> str:
    """Run ``ckan db``; return what it prints."""
    return subprocess.run(
        ["ckan", "-c", ini, "db", *arguments],
        env={**os.environ, "CKAN_SQLALCHEMY_URL": database.url},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def tables(database: Database) -> list[str]:
    query = r"SELECT tablename FROM pg_tables WHERE tablename LIKE 'files\_%' ORDER BY 1"
    return [name for (name,) in database.rows(query)]


def test_init(database: Database, pytestconfig: pytest.Config) -> None:
    """CKAN names the migrations that it is about to apply, and has none left after that."""
    ini = str(pytestconfig.getoption("--ckan-ini"))
    assert "2 unapplied migrations for files" in ckan_db(database, "init", ini=ini)
    assert tables(database) == OURS
    for command in ("init", "pending-migrations"):
        assert "unapplied" not in ckan_db(database, command, ini=ini)


def test_intents_come_to_a_portal_that_has_files(
    database: Database, pytestconfig: pytest.Config
) -> None:
    ini = str(pytestconfig.getoption("--ckan-ini"))
    ckan_db(database, "upgrade", ini=ini)
    ckan_db(database, "downgrade", "-p", "files", "-v", "b7d1c5f0a901", ini=ini)
    assert tables(database) == [*FILES, *REST]
    assert "1 unapplied" in ckan_db(database, "upgrade", ini=ini)
    assert tables(database) == OURS


def test_migrations(database: Database, pytestconfig: pytest.Config) -> None:
    ini = str(pytestconfig.getoption("--ckan-ini"))

    def run(*arguments: str) -> str:
        return ckan_db(database, *arguments, ini=ini)

    # nothing is there
    run("upgrade")
    assert tables(database) == OURS
    assert HEAD in run("version", "-p", "files")
    run("upgrade", "-p", "files")
    assert tables(database) == OURS
    run("downgrade", "-p", "files")
    assert tables(database) == []
    assert "2 unapplied" in run("pending-migrations")

    # ckanext-files 1.x was there, with revisions that nobody knows
    database.change(
        TABLES + "CREATE TABLE files_alembic_version (version_num varchar(32) PRIMARY KEY);"
        "INSERT INTO files_alembic_version VALUES ('b4b6ff46cd13')"
    )
    said = run("upgrade", "-p", "files")
    assert "its revision is b4b6ff46cd13" in said
    assert "ckan files takeover --dry-run" in said
    assert ("ckan files to-core" in said) == capabilities.CORE_FILES
    assert "unapplied" not in run("pending-migrations")
    run("upgrade")
    assert "stay as they are" in run("downgrade", "-p", "files")
    assert tables(database) == THEIRS
    assert database.rows("SELECT count(*) FROM files_transfer_history") == [(3,)]
    assert database.rows("SELECT version_num FROM files_alembic_version") == [("b4b6ff46cd13",)]
    run("upgrade", "-p", "files")
    assert HEAD in run("version", "-p", "files")
