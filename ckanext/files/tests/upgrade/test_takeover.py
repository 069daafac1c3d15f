"""The tables of ckanext-files 1.x become ours, or nothing is changed: ``ckan files takeover``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import sqlalchemy as sa
from ckan.model import meta
from ckan.tests.helpers import changed_config
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from ckanext.files.tests.support import console
from ckanext.files.tests.support.crash import kill_at_each
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.old_tables import connect, old_tables, rows, run, shape
from ckanext.files.upgrade import table_locks
from ckanext.files.upgrade.takeover import StepFailedError, adapt_tables, look_at_tables

loaded = load_plugins("files")

STEPS_FROM_1_3_4 = [
    "let column files_file.storage_data be never empty",
    "let column files_file.plugin_data be never empty",
    "index files_transfer_history by file_id",
]

# damage to the tables, and the step that repairs it
REPAIRS = {
    "ALTER TABLE files_owner DROP COLUMN pinned": "add the column files_owner.pinned",
    "ALTER TABLE files_file ALTER size TYPE int": "from INTEGER to BIGINT",
    "ALTER TABLE files_file ALTER name TYPE varchar(100)": "from VARCHAR(100) to TEXT",
    "ALTER TABLE files_file ALTER created TYPE timestamp": "to TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE files_file ALTER plugin_data DROP DEFAULT, "
    "ALTER plugin_data TYPE json": "files_file.plugin_data from JSON to JSONB",
    "UPDATE files_file SET plugin_data = NULL": "fill column files_file.plugin_data",
    "UPDATE files_file SET plugin_data = 'null'": "fill column files_file.plugin_data",
    "ALTER TABLE files_file ALTER plugin_data DROP DEFAULT, ALTER plugin_data TYPE json; "
    "UPDATE files_file SET plugin_data = ' null '": "fill column files_file.plugin_data",
    "ALTER TABLE files_file ALTER hash DROP NOT NULL; "
    "UPDATE files_file SET hash = NULL": "fill column files_file.hash",
    "ALTER TABLE files_file ALTER hash DROP DEFAULT": "give column files_file.hash its default",
    "DROP INDEX idx_file_owner_owner": "index files_owner by owner_type and owner_id",
    "DROP INDEX idx_files_file_location_in_storage": "index files_file by storage and location",
    "ALTER TABLE files_owner DROP CONSTRAINT files_owner_file_id_fkey": "follow files_file",
    "ALTER TABLE files_owner DROP CONSTRAINT files_owner_file_id_fkey; ALTER TABLE files_owner "
    "ADD FOREIGN KEY (file_id) REFERENCES files_file": "which does not cascade",
}

# damage that no statement can repair
OBSTACLES = {
    "DROP TABLE files_file CASCADE": "there is no table files_file",
    "ALTER TABLE files_owner DROP CONSTRAINT files_owner_file_id_fkey; ALTER TABLE files_file "
    "ALTER id TYPE int USING right(id, 1)::int": "files_file.id is of type INTEGER, not TEXT",
    "DROP TABLE files_transfer_history": "there is no table files_transfer_history",
    "ALTER TABLE files_file DROP COLUMN location": "column files_file.location is missing",
    "ALTER TABLE files_file ALTER name TYPE bytea USING NULL, "
    "ALTER name DROP NOT NULL": "column files_file.name is of type BYTEA, not TEXT",
    "ALTER TABLE files_file ALTER location DROP NOT NULL; "
    "UPDATE files_file SET location = NULL": "column files_file.location is empty in 3 rows",
    "ALTER TABLE files_file ALTER size DROP NOT NULL; "
    "UPDATE files_file SET size = NULL": "column files_file.size is empty in 3 rows",
    "ALTER TABLE files_file DROP COLUMN size": "column files_file.size is missing",
    "ALTER TABLE files_owner ADD kind text NOT NULL DEFAULT ''; "
    "ALTER TABLE files_owner ALTER kind DROP DEFAULT": "column files_owner.kind is not one of ours",
    "DROP INDEX idx_files_file_location_in_storage; "
    "UPDATE files_file SET location = 'same'": "1 pairs of storage and location",
    "DROP INDEX idx_files_file_location_in_storage; "
    "CREATE UNIQUE INDEX idx_files_file_location_in_storage ON files_file (storage, location) "
    "WHERE size > 5": "the index idx_files_file_location_in_storage is not what it should be",
    "ALTER TABLE files_owner DROP CONSTRAINT files_owner_file_id_fkey; "
    "DELETE FROM files_file WHERE id = 'f1'": "1 rows of files_owner have no row in files_file",
    "ALTER TABLE files_transfer_history DROP CONSTRAINT "
    "files_transfer_history_pkey": "the primary key of files_transfer_history is nothing, not id",
}

# changes that PostgreSQL refuses
REFUSALS = {
    "ALTER TABLE files_file ALTER size TYPE int; CREATE VIEW sizes AS SELECT size FROM "
    "files_file": "files_file.size from INTEGER to BIGINT: cannot alter type of a column used by",
    "DROP INDEX idx_file_owner_owner; CREATE INDEX idx_file_owner_owner ON files_file "
    "(name)": 'owner_type and owner_id: relation "idx_file_owner_owner" already exists',
    "ALTER TABLE files_file ALTER plugin_data DROP DEFAULT, ALTER plugin_data TYPE json; "
    """UPDATE files_file SET plugin_data = '"\\u0000"'""": "unsupported Unicode escape sequence",
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with old_tables() as engine:
        yield engine


def test_tables_of_1_3_4(engine: Engine) -> None:
    before, kept = shape(engine), rows(engine)
    check = look_at_tables(engine)
    assert [step.text for step in check.steps] == STEPS_FROM_1_3_4
    assert not check.obstacles
    assert not check.remarks
    assert shape(engine) == before
    assert adapt_tables(engine) == check
    assert rows(engine) == kept
    after = shape(engine)
    assert after != before
    assert adapt_tables(engine) == ([], [], [])
    assert shape(engine) == after


@pytest.mark.parametrize(("damage", "repair"), REPAIRS.items(), ids=REPAIRS.values())
def test_what_is_put_right(engine: Engine, damage: str, repair: str) -> None:
    kept = rows(engine)
    run(engine, damage)
    check = adapt_tables(engine)
    assert not check.obstacles
    assert any(repair in step.text for step in check.steps), check
    assert look_at_tables(engine) == ([], [], [])
    if "pinned" not in damage:
        assert rows(engine) == kept


def test_times_without_zone_are_utc(engine: Engine) -> None:
    run(engine, "UPDATE files_file SET created = '2020-02-02 12:00:00+00'")
    run(engine, "SET timezone = 'UTC'; ALTER TABLE files_file ALTER created TYPE timestamp")
    adapt_tables(engine)
    with engine.connect() as connection:
        statement = "SELECT DISTINCT created = '2020-02-02 12\\:00\\:00+00' FROM files_file"
        assert connection.execute(sa.text(statement)).scalars().all() == [True]


@pytest.mark.parametrize(("damage", "obstacle"), OBSTACLES.items(), ids=OBSTACLES.values())
def test_what_stands_in_the_way(engine: Engine, damage: str, obstacle: str) -> None:
    run(engine, damage)
    before = shape(engine)
    check = adapt_tables(engine)
    assert any(obstacle in text for text in check.obstacles), check
    assert shape(engine) == before


@pytest.mark.parametrize(("damage", "reason"), REFUSALS.items(), ids=REFUSALS.values())
def test_what_postgresql_refuses(engine: Engine, damage: str, reason: str) -> None:
    run(engine, damage)
    before = shape(engine)
    with pytest.raises(StepFailedError) as raised:
        adapt_tables(engine)
    assert reason in str(raised.value)
    assert str(raised.value).endswith(". Nothing has been changed.")
    assert shape(engine) == before


def test_what_is_not_ours_stays(engine: Engine) -> None:
    run(engine, "ALTER TABLE files_file ADD note text; UPDATE files_file SET note = 'mine'")
    check = adapt_tables(engine)
    assert check.remarks == ["column files_file.note is not one of ours and stays as it is"]
    assert ("files_file", "note", "text", "YES", None) in shape(engine)


def test_lost_database_is_not_tables_in_use(engine: Engine) -> None:
    lock = "files_file IN SHARE MODE; SELECT pg_terminate_backend(pg_backend_pid())"
    with engine.connect() as connection, pytest.raises(OperationalError):
        table_locks.lock_tables(connection, [lock], "stop CKAN")


def test_two_at_once(engine: Engine) -> None:
    kept = rows(engine)
    with ThreadPoolExecutor() as threads:
        list(threads.map(adapt_tables, [engine] * 2))
    assert look_at_tables(engine) == ([], [], [])
    assert rows(engine) == kept


@pytest.mark.crash
def test_killed_at_each_change(engine: Engine) -> None:
    run(engine, "ALTER TABLE files_file ALTER created TYPE timestamp, ALTER hash DROP DEFAULT")
    before = shape(engine), rows(engine)

    def check() -> None:
        assert (shape(engine), rows(engine)) == before

    changes = ("before_cursor_execute", "commit")
    assert kill_at_each(changes, lambda: adapt_tables(connect()), check) >= 8
    assert look_at_tables(engine) == ([], [], [])
    assert rows(engine) == before[1]


take_over = partial(console.run, "takeover")


@pytest.fixture
def of_session(engine: Engine) -> Iterator[Engine]:
    """The old tables, as CKAN's session finds them."""
    meta.Session.remove()
    meta.Session.configure(bind=engine)
    yield engine
    meta.Session.remove()
    meta.Session.configure(bind=meta.engine)


def test_command(of_session: Engine) -> None:
    before, kept = shape(of_session), rows(of_session)
    code, text = take_over("--dry-run")
    assert code == 0
    assert "This is to be done:" in text
    assert "default: 3 files, of which the bytes of 3 are missing\n  - f1\n  - f2\n  - f3" in text
    assert "The configuration has all that it needs." in text
    code, document = console.document("takeover", "--dry-run")
    assert (code, document["dry_run"]) == (0, True)
    assert document["tables"] == {"steps": STEPS_FROM_1_3_4, "obstacles": [], "remarks": []}
    assert document["options"] == {"lines": [], "remarks": []}
    files = {"storage": "default", "files": 3, "is_configured": True}
    assert document["storages"] == [{**files, "missing": ["f1", "f2", "f3"]}]
    assert shape(of_session) == before
    with changed_config("ckanext.files.storage.elsewhere.type", "files:fs"):
        code, text = take_over()
    assert code == 0
    assert "This was done:" in text
    assert "\nckan.files.storage.elsewhere.type = ckan:fs\n" in text
    assert "image is written out" in text
    assert shape(of_session) != before
    code, text = take_over()
    assert code == 0
    assert "They are as they should be." in text
    assert rows(of_session) == kept
    run(of_session, "UPDATE files_file SET storage = 'elsewhere'")
    code, text = take_over()
    assert code == 1
    assert "elsewhere: 3 files in a storage that is not configured" in text
    code, document = console.document("takeover")
    assert (code, document["storages"][0]["missing"]) == (1, None)
    run(of_session, "DROP TABLE files_file, files_owner, files_transfer_history")
    code, text = take_over()
    assert code == 0
    assert "There is nothing to take over" in text
    assert console.document("takeover") == (0, {"tables_exist": False})


def test_command_that_cannot_go_on(of_session: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_locks, "LOCK_SECONDS", 0.1)
    before = shape(of_session)
    with of_session.begin() as connection:
        connection.exec_driver_sql("SELECT FROM files_owner")
        code, text = take_over()
    assert (code, shape(of_session)) == (1, before)
    assert re.search(r"in use for 0\.1 seconds\..* stop CKAN", text)
    run(of_session, "ALTER TABLE files_file ALTER size TYPE int")
    run(of_session, "CREATE VIEW sizes AS SELECT size FROM files_file")
    code, text = take_over()
    assert code == 1
    assert "Error: PostgreSQL has refused to change column files_file.size" in text
    assert "This was done" not in text
    run(of_session, "ALTER TABLE files_file DROP COLUMN location")
    before = shape(of_session)
    code, text = take_over()
    assert code == 1
    assert "Nothing has been changed" in text
    assert "column files_file.location is missing" in text
    assert "ckanext-files 1.3.4 and run its migrations" in text
    assert "This was done" not in text
    assert shape(of_session) == before
