"""All files of CKAN 2.11 move into the tables of CKAN 2.12, or none: ``ckan files to-core``."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ckanext.files.cli import get_commands
from ckanext.files.search import drop_indexes
from ckanext.files.tests.support import both_tables, console
from ckanext.files.tests.support.both_tables import CORE, OLD, checksums, files, in_core
from ckanext.files.tests.support.crash import fork, kill_at_each
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for_a_lock
from ckanext.files.upgrade import table_locks, to_core
from ckanext.files.upgrade.to_core import look_at_core_move, move_to_core

loaded = load_plugins("files")

COUNT = 23
_INDEXES = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'idx_file_search_%'"
SAME_PLACE = """
    DROP INDEX idx_files_file_location_in_storage;
    UPDATE files_file SET location = 'l1' WHERE id = 'f2'
"""

# what makes a move impossible, where that is, and what the operator can do
OBSTACLES = {
    "UPDATE files_file SET storage = 'elsewhere' WHERE id IN ('f1', 'f2')": (
        "elsewhere: 2 files",
        "ckan.files.storage.NAME.type",
    ),
    in_core("other", "default", "l1"): (
        "default: l1 has the id f1 here, and other in CKAN",
        "delete the row of the other one",
    ),
    in_core("f1", "default", "somewhere"): (
        "f1 is default: l1 here, and default: somewhere in CKAN",
        "delete the row of the other one",
    ),
    in_core("other", "default", "somewhere")
    + """;
        INSERT INTO file_owner VALUES ('other', 'package', 'p', false);
        INSERT INTO file_owner_transfer_history
            (id, file_id, owner_id, owner_type, at, actor, action)
            VALUES ('hf21', 'other', 'u', 'user', now(), 'x', 'transfer')
    """: ("hf21 is of the file f2 here, and of other in CKAN", "other ids"),
    "ALTER TABLE files_file ALTER plugin_data DROP NOT NULL": (
        "let column files_file.plugin_data be never empty",
        "ckan files takeover",
    ),
    "DROP TABLE files_transfer_history": (
        "there is no table files_transfer_history",
        "ckan files takeover",
    ),
}


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(to_core, "_BATCH", 5)
    with both_tables.filled(COUNT):
        yield


def move() -> Any:
    return move_to_core(engine())


def obstacles() -> str:
    """Return what the command prints; neither a look nor a move may change anything."""
    before = checksums()
    looked, (code, text) = console.run("to-core", "--dry-run"), console.run("to-core")
    assert checksums() == before
    assert looked == (code, text)
    assert code == 1
    assert "Nothing has been changed" in text
    code, document = console.document("to-core")
    assert code == 1
    assert document["obstacles"][0]["text"] in text
    return text


def places(text: str) -> list[str]:
    return re.findall(r"^  - (.+)$", text, re.MULTILINE)


def test_everything_arrives() -> None:
    with engine().begin() as connection:
        drop_indexes(connection)  # a portal that comes from CKAN 2.11 has them on our table
    before, old = checksums(), checksums(OLD)[:3]
    looked = look_at_core_move(engine())
    assert checksums() == before, "a look changes nothing"
    assert look(_INDEXES) == 0
    done = move()
    assert looked == done
    assert files(CORE) == files(OLD)
    assert look(_INDEXES) == 6
    assert len({row[0] for row in files(CORE)}) == done.waiting == COUNT
    assert done.storages == [("default", 16, 0, 0), ("resources", 7, 0, 0)]
    assert (done.owners, done.transfers) == (19, 18)
    assert not done.obstacles
    assert checksums(OLD)[:3] == old, "a portal may go back"
    shown = call("file_show", None, id="f2")
    assert (shown["owner_type"], shown["owner_id"], shown["pinned"]) == ("package", "o2", True)
    assert shown["size"] == 6000000000


def test_move_again() -> None:
    """What CKAN has changed stays, what it has deleted does not come back, and new files move."""
    move()
    before = checksums((*OLD, *CORE, "files_moved_to_core"))
    again = move()
    assert checksums((*OLD, *CORE, "files_moved_to_core")) == before
    assert again.storages == [("default", 0, 16, 0), ("resources", 0, 7, 0)]
    assert (again.owners, again.transfers) == (0, 0)
    change("UPDATE file SET name = 'new.txt'; UPDATE file_owner SET owner_id = 'x', pinned = true")
    before = checksums()
    assert not move().warnings
    assert checksums() == before
    change("DELETE FROM file WHERE id = 'f2'")
    looked = look_at_core_move(engine())
    assert looked == move()
    assert looked.storages[0] == ("default", 0, 15, 1)
    assert not look("SELECT EXISTS (SELECT FROM file WHERE id = 'f2')")
    change("INSERT INTO files_file (id, name, storage, location) VALUES ('g', 'n', 'default', 'n')")
    assert move().waiting == 1
    assert look("SELECT count(*) FROM file") == COUNT
    change("UPDATE files_file SET storage = 'elsewhere'")
    assert not move().obstacles, "nothing of that storage waits"
    change("DELETE FROM files_file")
    assert (move().waiting, move().storages) == (0, [])


def test_what_ckan_has_already_stays() -> None:
    change(in_core("f1", "default", "l1"))
    change(in_core("other", "default", "somewhere"))
    done = move()
    assert done.storages[0] == ("default", 15, 1, 0)
    assert done.warnings == [
        "1 files have another owner in CKAN than in the old tables: CKAN's stays"
    ]
    assert look("SELECT name FROM file WHERE id = 'f1'") == "core.txt"
    assert look("SELECT count(*) FROM file") == COUNT + 1
    assert not look("SELECT EXISTS (SELECT FROM file_owner WHERE file_id = 'f1')")


@pytest.mark.parametrize(
    ("damage", "place", "advice"),
    [(damage, *found) for damage, found in OBSTACLES.items()],
    ids=[place for place, _ in OBSTACLES.values()],
)
def test_what_stands_in_the_way(damage: str, place: str, advice: str) -> None:
    change(damage)
    text = obstacles()
    assert places(text) == [place]
    assert advice in text


def test_place_twice_in_the_old_tables() -> None:
    change(SAME_PLACE)
    text = obstacles()
    assert places(text)[-1] == "default: l1 has the ids f1, f2"
    assert "ckan files takeover" in text
    index = (
        "CREATE UNIQUE INDEX CONCURRENTLY idx_files_file_location_in_storage "
        "ON files_file (storage, location)"
    )
    directly = engine().execution_options(isolation_level="AUTOCOMMIT")
    with directly.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(sa.text(index))
    # the index is there, but PostgreSQL could not finish it
    assert places(obstacles()) == ["default: l1 has the ids f1, f2"]


def test_long_lists_are_cut() -> None:
    change(
        "INSERT INTO file (id, name, storage, location, content_type, size, hash, algorithm,"
        " created, storage_data, plugin_data) SELECT 'x' || id, name, storage, location, 't', 1,"
        " '', '', now(), '{}', '{}' FROM files_file"
    )
    text = obstacles()
    assert len(places(text)) == 20
    assert f"\n  and {COUNT - 20} more\n" in text


def test_upload_waits_and_is_kept() -> None:
    numbers: list[int] = []
    upload = threading.Thread(target=change, args=[in_core("new", "default", "new")])

    def begin(number: int) -> None:
        numbers.append(number)
        upload.start()
        wait_for_a_lock()
        assert look("SELECT count(*) FROM file") == 0, "reading goes on"

    move_to_core(engine(), begin, numbers.append)
    upload.join()
    assert look("SELECT count(*) FROM file") == COUNT + 1
    assert numbers == [COUNT, 5, 5, 5, 5, 3]


def test_tables_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_locks, "LOCK_SECONDS", 0.1)
    before = checksums()
    with engine().connect() as connection:
        connection.exec_driver_sql("UPDATE file SET name = name")
        code, text = console.run("to-core")
    assert code == 1
    assert re.search(r"0\.1 seconds\..* try again", text)
    assert checksums() == before


def test_two_at_once() -> None:
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(move_to_core, [engine()] * 2))
    assert sorted(move.waiting for move in done) == [0, COUNT]
    assert files(CORE) == files(OLD)


@pytest.mark.crash
def test_killed_at_each_change() -> None:
    before = checksums()

    def check() -> None:
        assert checksums() == before

    assert kill_at_each(("before_cursor_execute", "commit"), move, check) >= 10
    assert files(CORE) == files(OLD)
    again = checksums()
    assert move().waiting == 0
    assert checksums() == again


def test_many(full_size: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    count = 1_000_000 if full_size else 7_000
    with both_tables.filled(count):
        assert (move().waiting, move().waiting) == (count, 0)
        assert look("SELECT count(*) FROM file") == count


def test_command() -> None:
    change("UPDATE files_owner SET owner_type = 'showcase' WHERE file_id = 'f1'")
    change("UPDATE files_owner SET owner_type = 'user' WHERE file_id = 'f2'")
    before = checksums()
    code, looked = console.run("to-core", "--dry-run")
    assert (code, checksums()) == (0, before)
    *lines, warning = looked.splitlines()
    assert lines == [
        "default: 16 to be moved, 0 already there",
        "resources: 7 to be moved, 0 already there",
        "23 files to be moved, with 19 owners and 18 lines of history",
    ]
    assert "1 files in the storage default belong to owners of the type showcase" in warning
    code, document = console.document("to-core", "--dry-run")
    assert (code, document.pop("warnings")) == (0, [warning])
    assert [storage["waiting"] for storage in document.pop("storages")] == [16, 7]
    assert document == {
        "tables_exist": True,
        "dry_run": True,
        "files": 23,
        "owners": 19,
        "transfers": 18,
        "obstacles": [],
    }
    assert console.run("to-core") == (
        0,
        looked.replace("to be moved", "moved")
        + "The old tables are as they were. When you are sure not to go back to CKAN 2.11:\n"
        "  DROP TABLE files_transfer_history, files_owner, files_file, files_moved_to_core;\n",
    )
    assert files(CORE) == files(OLD)
    change("DELETE FROM file WHERE id = 'f2'")
    code, text = console.run("to-core")
    assert code == 0
    first, *_, drop = text.splitlines()
    assert first == "default: 0 moved, 15 already there, 1 deleted since an earlier move"
    change(drop)
    before = checksums(CORE)
    for options in ([], ["--dry-run"]):
        code, text = console.run("to-core", *options)
        assert (code, text.split(":")[0]) == (0, "There is nothing to move")
    assert checksums(CORE) == before
    assert look("SELECT count(*) FROM file") == COUNT - 1


def test_bar_on_a_terminal() -> None:
    terminal, other_end = pty.openpty()

    def command() -> None:
        sys.stderr = os.fdopen(other_end, "w")
        get_commands()[0].main(["to-core"], standalone_mode=False)

    process = fork(command)
    os.close(other_end)
    seen = b""
    with suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(terminal, 1000):
            seen += chunk
    os.close(terminal)
    os.waitpid(process, 0)
    assert b"Moving files" in seen
    assert b"100%" in seen
