"""``ckan files takeover`` prints what it has done. The work itself is tested in upgrade/."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from ckan.model import meta
from ckan.tests.helpers import changed_config
from sqlalchemy.engine import Engine

from ckanext.files.tests.support import console
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.old_tables import old_tables, rows, run, shape

loaded = load_plugins("files")

take_over = partial(console.run, "takeover")


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The old tables only, in the schema of CKAN's session."""
    theirs = meta.engine
    with old_tables() as engine:
        _bind(engine)
        yield engine
        _bind(theirs)


def _bind(engine: Any) -> None:
    meta.Session.remove()
    meta.Session.configure(bind=engine)


def test_dry_run_then_takeover(engine: Engine) -> None:
    before, kept = shape(engine), rows(engine)
    code, text = take_over("--dry-run")
    assert code == 0
    assert "This is to be done:" in text
    assert "default: 3 files, of which the bytes of 3 are missing\n  - f1\n  - f2\n  - f3" in text
    assert "The configuration has all that it needs." in text
    assert shape(engine) == before
    code, text = take_over()
    assert code == 0
    assert "This was done:" in text
    assert shape(engine) != before
    code, text = take_over()
    assert code == 0
    assert "They are as they should be." in text
    assert rows(engine) == kept


def test_obstacle(engine: Engine) -> None:
    run(engine, "ALTER TABLE files_file DROP COLUMN location")
    before = shape(engine)
    code, text = take_over()
    assert code == 1
    assert "Nothing has been changed" in text
    assert "column files_file.location is missing" in text
    assert "ckanext-files 1.3.4 and run its migrations" in text
    assert "This was done" not in text
    assert shape(engine) == before


def test_storage_that_is_not_configured(engine: Engine) -> None:
    run(engine, "UPDATE files_file SET storage = 'elsewhere'")
    code, text = take_over()
    assert code == 1
    assert "elsewhere: 3 files in a storage that is not configured" in text


def test_options(engine: Engine) -> None:
    with changed_config("ckanext.files.storage.elsewhere.type", "files:fs"):
        code, text = take_over("--dry-run")
    assert code == 0
    assert "\nckan.files.storage.elsewhere.type = ckan:fs\n" in text
    assert "image is written out" in text


def test_tables_in_use(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckanext.files.upgrade.takeover._LOCK_SECONDS", 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM files_owner")
        code, text = take_over()
    assert code == 1
    assert "stop CKAN" in text


def test_what_postgresql_refuses(engine: Engine) -> None:
    run(engine, "ALTER TABLE files_file ALTER size TYPE int")
    run(engine, "CREATE VIEW sizes AS SELECT size FROM files_file")
    code, text = take_over()
    assert code == 1
    assert "Error: PostgreSQL has refused to change column files_file.size" in text
    assert "This was done" not in text


def test_nothing_to_take_over(engine: Engine) -> None:
    run(engine, "DROP TABLE files_file, files_owner, files_transfer_history")
    code, text = take_over()
    assert code == 0
    assert "There is nothing to take over" in text
