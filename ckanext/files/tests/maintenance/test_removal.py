"""Bytes that cannot be removed right after a commit or rollback are removed by a job."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.filekeeper import removal
from ckanext.files.filekeeper.locations import lock_location
from ckanext.files.filekeeper.removal import remove_unless_committed
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, Location, get_storage
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change, count_commits, engine, look
from ckanext.files.tests.support.races import busy_location
from ckanext.files.transaction import Block, on_commit

LEFT = "a.txt"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No removal waits long."""
    for name in ("LOCK_TIMEOUT", "SHORT_LOCK_TIMEOUT"):
        monkeypatch.setattr(removal, name, "100ms")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The errors of the next removals from the storage ``here``."""
    errors: list[Exception] = []

    def remove(real: Any, *args: Any, **kwargs: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(*args, **kwargs)

    site.intercept(monkeypatch, "here", "remove", remove)
    return errors


def test_busy_location(tasks: TasksManager, caplog: pytest.LogCaptureFixture) -> None:
    file = site.upload()
    path = site.path_of(file)
    with busy_location("here", path.name):
        site.delete(file)
        assert site.row(file) is None
        assert path.exists()
        [job] = tasks.pending_jobs
        tasks.run_pending_jobs()
        assert site.outcome(job["id"])[0] == "todo"
        assert path.exists()
    site.run_put_off_jobs(tasks)
    assert not path.exists()
    assert site.outcome(job["id"])[0] == "succeeded"
    assert "keeps what no row names" not in messages(caplog, logging.ERROR)


def test_storage_that_fails(
    tasks: TasksManager, failing: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    file = site.upload()
    location = site.path_of(file).name
    failing.append(OSError("the cloud is away"))
    site.delete(file)
    assert len(site.stored("here")) == 1
    said = f"A job will remove {location} from storage here: the cloud is away"
    assert said in messages(caplog, logging.WARNING)
    tasks.run_pending_jobs()
    assert site.stored("here") == {}
    assert len(tasks.succeeded_jobs) == 1


def test_removal_that_succeeds(tasks: TasksManager) -> None:
    file = site.upload()
    site.delete(file)
    assert site.stored("here") == {}
    assert not tasks.jobs


def test_new_row_of_the_location(tasks: TasksManager, failing: list[Exception]) -> None:
    file = site.upload()
    location = site.path_of(file).name
    failing.append(OSError())
    site.delete(file)
    [other] = portal.put(None)
    site.change(other, storage="here", location=location)
    tasks.run_pending_jobs()
    assert site.stored("here") == {location: b"hello"}
    assert len(tasks.succeeded_jobs) == 1


@pytest.mark.parametrize("in_block", [False, True])
def test_rollback_to_a_savepoint(tasks: TasksManager, in_block: bool) -> None:
    """The caller's transaction has the lock. It goes on, and need not commit."""
    (site.folder_of("here") / LEFT).write_text("left")
    user: Any = model.User.get(portal.new_user())
    id_ = user.id
    with Block(eager=in_block), count_commits() as commits:
        session = model.Session()
        user.fullname = "New"
        lock_location(session, "here", LEFT)
        savepoint = session.begin_nested()
        data = FileData(Location(LEFT))
        remove_unless_committed(session, file_table, "here", get_storage("here"), data)
        savepoint.rollback()
        assert len(tasks.pending_jobs) == 1
        assert user.fullname == "New"
    assert not commits  # of CKAN's engine
    model.Session.remove()
    assert look('SELECT fullname FROM "user" WHERE id = :id', id=id_) != "New"
    tasks.run_pending_jobs()
    assert site.stored("here") == {}
    assert len(tasks.succeeded_jobs) == 1


def test_a_pool_that_is_exhausted(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback of a plugin has its only connection. The job is written beside it."""
    file = site.upload()
    path = site.path_of(file)
    model.Session.remove()
    pool = sa.create_engine(engine().url, pool_size=1, max_overflow=0, pool_timeout=1).pool
    with monkeypatch.context() as patch:
        patch.setattr(engine(), "pool", pool)
        with Block(eager=True):
            on_commit(lambda: model.Session.execute(sa.text("SELECT 1")))
            tk.get_action("file_delete")({"ignore_auth": True}, {"id": file})
        model.Session.remove()
    pool.dispose()
    assert path.exists()
    tasks.run_pending_jobs()
    assert not path.exists()
    assert len(tasks.succeeded_jobs) == 1


def test_busy_location_without_tables(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits as long as without jobs."""
    monkeypatch.setattr(removal, "LOCK_TIMEOUT", "30s")
    file = site.upload()
    path = site.path_of(file)
    with ThreadPoolExecutor(1) as thread, ExitStack() as busy:
        busy.enter_context(busy_location("here", path.name))
        change(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away")
        try:
            deleting = thread.submit(site.delete, file)
            time.sleep(1)
            assert not deleting.done()
            busy.close()
            deleting.result()
        finally:
            change(f"ALTER SCHEMA files_test_away RENAME TO {SCHEMA}")
    assert not path.exists()


def test_storage_that_removes_nothing(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No job could."""
    storage = get_storage("here")
    monkeypatch.setattr(storage, "capabilities", storage.capabilities.exclude(Capability.REMOVE))
    data = FileData(Location(LEFT))
    remove_unless_committed(model.Session(), file_table, "here", storage, data)
    model.Session.rollback()
    assert not tasks.jobs
    assert f"keeps what no row names: {LEFT}" in messages(caplog, logging.ERROR)


def test_location_that_the_storage_cannot_have(
    tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """No job could, either."""
    data = FileData(Location("../a.txt"))
    remove_unless_committed(model.Session(), file_table, "here", get_storage("here"), data)
    model.Session.rollback()
    assert not tasks.jobs
    assert "keeps what no row names: ../a.txt" in messages(caplog, logging.ERROR)


def test_storage_with_errors(
    tasks: TasksManager,
    failing: list[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its adapter fails also where none should, and the log still names the bytes that are left."""

    def supports(*_: Any) -> bool:
        raise KeyError("bucket")

    data = FileData(Location(LEFT))
    remove_unless_committed(model.Session(), file_table, "here", get_storage("here"), data)
    failing.append(OSError("the cloud is away"))
    site.intercept(monkeypatch, "here", "supports", supports)
    model.Session.rollback()
    assert not tasks.jobs
    assert f"keeps what no row names: {LEFT}" in messages(caplog, logging.ERROR)
    assert "KeyError: 'bucket'" in caplog.text


def test_jobs_that_are_locked(
    tasks: TasksManager, failing: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The caller goes on: the lock may be one of its own transaction."""
    file = site.upload()
    location = site.path_of(file).name
    failing.append(OSError("the cloud is away"))
    with engine().begin() as connection:
        # PostgreSQL ends it if nothing else does
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '20s'"))
        connection.execute(sa.text(f"LOCK TABLE {SCHEMA}.procrastinate_jobs"))
        site.delete(file)
    assert site.row(file) is None
    assert not tasks.jobs
    assert f"keeps what no row names: {location}" in messages(caplog, logging.ERROR)
    assert f"No job removes {location} from storage here" in messages(caplog, logging.WARNING)


def test_no_tables(
    tasks: TasksManager, failing: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The file is deleted all the same, and the log names the bytes that are left."""
    file = site.upload()
    location = site.path_of(file).name
    failing.append(OSError())
    change(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away")
    try:
        site.delete(file)
    finally:
        change(f"ALTER SCHEMA files_test_away RENAME TO {SCHEMA}")
    assert site.row(file) is None
    assert f"keeps what no row names: {location}" in messages(caplog, logging.ERROR)
    assert "Run: ckan files background init" in caplog.text


def messages(caplog: pytest.LogCaptureFixture, level: int) -> str:
    return "\n".join(each.getMessage() for each in caplog.records if each.levelno == level)
