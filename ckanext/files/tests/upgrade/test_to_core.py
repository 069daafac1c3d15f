"""All files of CKAN 2.11 move into the tables of CKAN 2.12, or none."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ckanext.files.tests.support.both_tables import (
    CORE,
    OLD,
    add_to_core,
    both_tables,
    checksums,
    drop,
    files,
    run,
)
from ckanext.files.tests.support.crash import die_at, fork, was_killed
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.upgrade import to_core
from ckanext.files.upgrade.to_core import MoveInterruptedError, look_at_core_move, move_to_core

loaded = load_plugins("files")

COUNT = 23
SAME_PLACE = """
    DROP INDEX idx_files_file_location_in_storage;
    UPDATE files_file SET location = 'l1' WHERE id = 'f2'
"""


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(to_core, "_BATCH", 5)
    with both_tables(COUNT):
        yield


def move() -> Any:
    return move_to_core(engine())


def obstacle() -> Any:
    """Return the only obstacle; neither a look nor a move may change anything."""
    before = checksums()
    looked, moved = look_at_core_move(engine()), move()
    assert checksums() == before
    assert looked == moved
    assert len(moved.obstacles) == 1, moved.obstacles
    assert moved.obstacles[0].advice
    return moved.obstacles[0]


def test_everything_arrives() -> None:
    old = checksums(OLD)[:3]
    done = move()
    assert files(CORE) == files(OLD)
    assert len({row[0] for row in files(CORE)}) == done.waiting == COUNT
    assert done.storages == [("default", 16, 0, 0), ("resources", 7, 0, 0)]
    assert (done.owners, done.transfers) == (19, 18)
    assert not done.obstacles
    assert checksums(OLD)[:3] == old, "a portal may go back"


def test_ckan_shows_what_has_arrived() -> None:
    move()
    shown = call("file_show", None, id="f2")
    assert (shown["owner_type"], shown["owner_id"], shown["pinned"]) == ("package", "o2", True)
    assert shown["size"] == 6000000000


def test_look_returns_the_same_and_changes_nothing() -> None:
    before = checksums()
    looked = look_at_core_move(engine())
    assert checksums() == before
    assert looked == move()


def test_second_run_changes_nothing() -> None:
    move()
    before = checksums((*OLD, *CORE, "files_moved_to_core"))
    again = move()
    assert checksums((*OLD, *CORE, "files_moved_to_core")) == before
    assert again.storages == [("default", 0, 16, 0), ("resources", 0, 7, 0)]
    assert (again.owners, again.transfers) == (0, 0)


def test_what_ckan_changes_afterwards_stays() -> None:
    move()
    run("UPDATE file SET name = 'new.txt'; UPDATE file_owner SET owner_id = 'other', pinned = true")
    before = checksums()
    assert not move().warnings
    assert checksums() == before


def test_deleted_file_does_not_come_back() -> None:
    move()
    run("DELETE FROM file WHERE id = 'f2'")
    looked = look_at_core_move(engine())
    assert looked == move()
    assert looked.storages[0] == ("default", 0, 15, 1)
    assert not look("SELECT EXISTS (SELECT FROM file WHERE id = 'f2')")


def test_files_of_a_portal_that_went_back_move_later() -> None:
    move()
    run("INSERT INTO files_file (id, name, storage, location) VALUES ('new', 'n', 'default', 'n')")
    assert move().waiting == 1
    assert look("SELECT count(*) FROM file") == COUNT + 1


def test_what_ckan_has_already_stays() -> None:
    add_to_core("f1", "default", "l1")
    add_to_core("other", "default", "somewhere")
    done = move()
    assert done.storages[0] == ("default", 15, 1, 0)
    assert done.warnings == [
        "1 files have another owner in CKAN than in the old tables: CKAN's stays"
    ]
    assert look("SELECT name FROM file WHERE id = 'f1'") == "core.txt"
    assert look("SELECT count(*) FROM file") == COUNT + 1
    assert not look("SELECT EXISTS (SELECT FROM file_owner WHERE file_id = 'f1')")


def test_nothing_to_move() -> None:
    drop()
    before = checksums(CORE)
    assert not look_at_core_move(engine()).tables_exist
    assert not move().tables_exist
    assert checksums(CORE) == before


def test_empty_tables() -> None:
    run("DELETE FROM files_file")
    done = move()
    assert (done.waiting, done.storages, done.obstacles) == (0, [], [])


def test_unknown_storage() -> None:
    run("UPDATE files_file SET storage = 'elsewhere' WHERE id IN ('f1', 'f2')")
    found = obstacle()
    assert found.places == ["elsewhere: 2 files"]
    assert "ckan.files.storage.NAME.type" in found.advice


def test_storage_of_files_that_have_moved_may_be_gone() -> None:
    move()
    run("UPDATE files_file SET storage = 'elsewhere'")
    assert not move().obstacles


def test_place_twice_in_the_old_tables() -> None:
    run(SAME_PLACE)
    before = checksums()
    found = move().obstacles
    assert checksums() == before
    assert found[-1].places == ["default: l1 has the ids f1, f2"]
    assert "ckan files takeover" in found[0].advice


def test_place_twice_under_an_unfinished_index() -> None:
    run(SAME_PLACE)
    index = (
        "CREATE UNIQUE INDEX CONCURRENTLY idx_files_file_location_in_storage "
        "ON files_file (storage, location)"
    )
    directly = engine().execution_options(isolation_level="AUTOCOMMIT")
    with directly.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(sa.text(index))
    assert obstacle().places == ["default: l1 has the ids f1, f2"]


def test_place_that_ckan_has_under_another_id() -> None:
    add_to_core("other", "default", "l1")
    found = obstacle()
    assert found.places == ["default: l1 has the id f1 here, and other in CKAN"]


def test_id_that_ckan_has_for_another_place() -> None:
    add_to_core("f1", "default", "somewhere")
    found = obstacle()
    assert found.places == ["f1 is default: l1 here, and default: somewhere in CKAN"]


def test_line_of_history_that_ckan_has() -> None:
    add_to_core("other", "default", "somewhere")
    run(
        "INSERT INTO file_owner VALUES ('other', 'package', 'p', false);"
        "INSERT INTO file_owner_transfer_history (id, file_id, owner_id, owner_type, at, actor,"
        " action) VALUES ('hf21', 'other', 'u', 'user', now(), 'x', 'transfer')"
    )
    assert obstacle().places == ["hf21 is of the file f2 here, and of other in CKAN"]


def test_long_lists_are_cut() -> None:
    run(
        "INSERT INTO file (id, name, storage, location, content_type, size, hash, algorithm,"
        " created, storage_data, plugin_data) SELECT 'x' || id, name, storage, location, 't', 1,"
        " '', '', now(), '{}', '{}' FROM files_file"
    )
    found = obstacle()
    assert (len(found.places), found.number) == (20, COUNT)


def test_tables_that_were_not_taken_over() -> None:
    run("ALTER TABLE files_file ALTER plugin_data DROP NOT NULL")
    assert "ckan files takeover" in obstacle().advice


def test_table_missing() -> None:
    run("DROP TABLE files_transfer_history")
    assert move().obstacles[0].places == ["there is no table files_transfer_history"]
    assert look_at_core_move(engine()).obstacles == move().obstacles


def test_owner_types_that_do_not_cascade() -> None:
    run("UPDATE files_owner SET owner_type = 'showcase' WHERE file_id = 'f1'")
    run("UPDATE files_owner SET owner_type = 'user' WHERE file_id = 'f2'")
    done = move()
    assert files(CORE) == files(OLD)
    assert [w.split(":")[0] for w in done.warnings] == [
        "1 files in the storage default belong to owners of the type showcase"
    ]


def test_progress() -> None:
    numbers: list[int] = []
    move_to_core(engine(), numbers.append, numbers.append)
    assert numbers == [COUNT, 5, 5, 5, 5, 3]


def test_upload_waits_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[threading.Thread] = []

    def upload(_: int) -> None:
        thread = threading.Thread(target=add_to_core, args=["new", "default", "new"])
        thread.start()
        uploads.append(thread)
        time.sleep(0.2)
        assert thread.is_alive()
        assert look("SELECT count(*) FROM file") == 0, "reading goes on"

    move_to_core(engine(), upload)
    uploads[0].join()
    assert look("SELECT count(*) FROM file") == COUNT + 1


def test_tables_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_core, "_LOCK_SECONDS", 1)
    before = checksums()
    with engine().connect() as connection:
        connection.exec_driver_sql("UPDATE file SET name = name")
        with pytest.raises(MoveInterruptedError, match="try again"):
            move()
    assert checksums() == before


def test_two_at_once() -> None:
    done: list[Any] = []
    threads = [threading.Thread(target=lambda: done.append(move())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(move.waiting for move in done) == [0, COUNT]
    assert files(CORE) == files(OLD)


@pytest.mark.crash
def test_killed_at_each_statement() -> None:
    before, number = checksums(), 0
    for number in itertools.count(1):
        if not was_killed(fork(lambda number=number: move_until(number))):
            break
        assert checksums() == before
    assert number > 30
    assert files(CORE) == files(OLD)
    again = checksums()
    assert move().waiting == 0
    assert checksums() == again


def move_until(number: int) -> None:
    """Be killed before a statement, or before the commit."""
    die_at(number, engine(), "before_cursor_execute", "commit")
    move()


@pytest.mark.crash
def test_killed_from_outside() -> None:
    """After a kill at any time, all files have moved or none."""
    for wait in (0.01, 0.02, 0.04, 0.08, 0.16):
        before = checksums(CORE)
        pid = fork(lambda: move_to_core(engine(), progress=lambda _: time.sleep(0.02)))
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
        was_killed(pid)
        wait_for_the_dead()
        assert checksums(CORE)[:3] == before[:3] or files(CORE) == files(OLD)
    move()
    assert files(CORE) == files(OLD)


@pytest.mark.parametrize("count", [20_000])
def test_many(
    count: int, full_size: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    count = count * (50 if full_size else 1)
    with both_tables(count):
        start = time.monotonic()
        done = move()
        seconds = time.monotonic() - start
        start = time.monotonic()
        again = move()
        with capsys.disabled():
            print(  # noqa: T201
                f"{count} files moved in {seconds:.1f} s; a second run took"
                f" {time.monotonic() - start:.1f} s"
            )
        assert (done.waiting, again.waiting) == (count, 0)
        if not full_size:
            assert files(CORE) == files(OLD)
