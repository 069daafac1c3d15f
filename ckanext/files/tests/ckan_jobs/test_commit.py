"""Which commit writes a job, as another connection sees it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.lib import jobs
from ckan.tests import factories, helpers
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from ckanext.files.background import NotInstalledError
from ckanext.files.ckan_jobs import commit
from ckanext.files.ckan_jobs.errors import DuplicateJobError, JobLockedError
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import Effects, change, engine, look, rows
from ckanext.files.tests.support.jobs import S, cut
from ckanext.files.tests.support.probe_plugin import ProbeError, in_action
from ckanext.files.transaction import Block

Hooks = dict[str, Callable[..., Any]]


def ask(**options: Any) -> Any:
    return tk.enqueue_job(jobs.test_job, ["x"], rq_kwargs=options)


def is_written(job: Any) -> bool:
    """Return whether a worker could see the job now."""
    return look(f"SELECT EXISTS (SELECT FROM {S}.files_rq_job WHERE rq_id = :id)", id=job.id)


def in_thread(do: Callable[[], Any]) -> Any:
    """Do something in another thread, which has a session of its own."""
    with ThreadPoolExecutor(1, initializer=model.Session.remove) as threads:
        done = threads.submit(do).result()
        threads.submit(model.Session.remove).result()
    return done


class Asker:
    """Asks for a job at some place, and notes whether a worker could see it there already."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.others: list[Any] = []
        self.early: set[tuple[bool, bool]] = set()

    def __call__(self, *_: Any) -> None:
        self.jobs.append(ask())
        # negative control: another thread does not take part in the commit
        self.others.append(in_thread(ask))
        self.early.add((is_written(self.jobs[-1]), is_written(self.others[-1])))

    def written(self) -> tuple[set[bool], set[bool]]:
        return set(map(is_written, self.jobs)), set(map(is_written, self.others))


@pytest.fixture
def asker() -> Asker:
    return Asker()


def patch_dataset(dataset: dict[str, Any]) -> None:
    helpers.call_action("package_patch", id=dataset["id"], title="other")


def change_directly(dataset: dict[str, Any]) -> None:
    package = model.Package.get(dataset["id"])
    assert package
    package.title = "direct"
    model.Session.commit()


PLACES = {
    "frame": (None, lambda asker: in_action(asker)),
    "before the action": ("before:package_update", patch_dataset),
    "in the action": ("after_dataset_update", patch_dataset),
    "in before_commit of an action": ("notify", patch_dataset),
    "in before_commit": ("notify", change_directly),
}


@pytest.mark.parametrize(("hook", "act"), PLACES.values(), ids=PLACES)
def test_job_is_written_by_the_commit(
    hook: str | None, act: Callable[[Any], Any], asker: Asker, hooks: Hooks
) -> None:
    dataset = factories.Dataset()
    if hook:
        hooks[hook] = asker
    act(dataset if hook else asker)
    assert asker.early == {(False, True)}
    assert asker.written() == ({True}, {True})


@pytest.mark.parametrize("hook", ["before:package_update", "after_dataset_update", "notify"])
def test_job_goes_with_the_change(
    hook: str, asker: Asker, hooks: Hooks, effects: Effects, name: str
) -> None:
    dataset = factories.Dataset()
    effects.write(name)
    model.Session.commit()

    def ask_and_spoil_the_commit(*_: Any) -> None:
        asker()
        effects.write(name)

    hooks[hook] = ask_and_spoil_the_commit
    with pytest.raises(IntegrityError):
        patch_dataset(dataset)
    model.Session.remove()
    assert asker.early == {(False, True)}
    assert asker.written() == ({False}, {True})


def test_session_that_has_written_nothing(effects: Effects, name: str) -> None:
    """RQ's users never had to commit. A rollback undoes nothing then, either."""
    model.Session.remove()
    asked = [ask()]
    for read in ("SELECT 1", "SELECT pg_advisory_xact_lock(1)", "SAVEPOINT a"):
        model.Session.execute(sa.text(read))
        asked.append(ask())
    package = model.Package.get(factories.Dataset()["id"])
    assert package
    package.title = str(package.title)  # no change
    asked.append(ask())
    assert all(map(is_written, asked))
    model.Session.rollback()
    assert all(map(is_written, asked))


@pytest.mark.parametrize(
    "change",
    [
        lambda name: Effects().write(name),
        lambda _: model.Session.execute(sa.text("SELECT FROM files_test_effect FOR UPDATE")),
        lambda name: model.Session.add(model.User(name=name, email=name)),
    ],
    ids=["row", "lock", "object that waits for the flush"],
)
def test_session_with_changes(
    change: Callable[[str], Any], effects: Effects, name: str, lost: Callable[[], list[str]]
) -> None:
    Effects().write(f"{name}-before")
    model.Session.commit()
    change(name)
    job = ask()
    assert not is_written(job)
    assert jobs.job_from_id(job.id) == job  # who asks sees it
    model.Session.rollback()
    assert not is_written(job)
    change(f"{name}-again")
    line = ask.__code__.co_firstlineno + 1
    job = ask()
    model.Session.commit()
    assert is_written(job)
    assert lost() == []
    change(f"{name}-lost")
    job = ask()
    assert not is_written(job)
    model.Session.remove()
    [message] = lost()
    assert f"Job {job.id} (ckan.lib.jobs.test_job) is lost" in message
    assert f"{__file__}:{line} asked for it" in message


def test_reading_opens_no_transaction() -> None:
    model.Session.remove()
    job = ask()
    for read in (job.get_status, lambda: jobs.job_from_id(job.id), lambda: jobs.get_queue().count):
        assert read()
        assert not model.Session().in_transaction()


def test_savepoint(effects: Effects, name: str) -> None:
    effects.write(name)
    savepoint = model.Session.begin_nested()
    undone = ask()
    savepoint.rollback()
    kept = ask()
    kept.meta["title"] = "Title"
    kept.save()
    model.Session.commit()
    assert [is_written(undone), is_written(kept)] == [False, True]
    assert jobs.job_from_id(kept.id).meta == {"title": "Title"}


@pytest.fixture
def rolled_back(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Any], int]]:
    """How often CKAN's log says that a job is not written."""

    def count(job: Any) -> int:
        words = f"Job {job.id} (ckan.lib.jobs.test_job) is not written"
        found = [r for r in caplog.records if r.getMessage().startswith(words)]
        assert {r.name for r in found} <= {jobs.__name__}
        return len(found)

    with caplog.at_level(logging.INFO, jobs.__name__):
        yield count


@pytest.mark.parametrize("action", ["probe", "probe_eager"])
def test_log_of_a_failed_action(
    action: str, effects: Effects, name: str, rolled_back: Callable[[Any], int]
) -> None:
    """CKAN has logged the job as added. What was rolled back before is not named again."""
    asked: list[Any] = []

    def undo_one_and_fail() -> None:
        effects.write(name)
        asked.append(ask())
        model.Session.rollback()
        asked.append(ask())
        asked.append(in_thread(ask))
        raise ProbeError

    with pytest.raises(ProbeError):
        in_action(undo_one_and_fail, action)
    assert list(map(rolled_back, asked)) == [1, 1, 0]
    assert list(map(is_written, asked)) == [False, False, True]


def test_log_of_a_job_that_was_refused(
    effects: Effects, name: str, lost: Callable[[], list[str]], rolled_back: Callable[[Any], int]
) -> None:
    """The job that waits stays, and nothing is lost."""
    queue: Any = jobs.get_queue()
    job = ask(job_id=name)
    for end in (model.Session.rollback, model.Session.remove):
        effects.write(name)
        with pytest.raises(DuplicateJobError):
            queue.enqueue_job(queue.create_job(jobs.test_job, job_id=name), unique=True)
        end()
    assert (rolled_back(job), lost()) == (0, [])
    assert is_written(job)


def test_log_of_a_rollback(
    effects: Effects, name: str, lost: Callable[[], list[str]], rolled_back: Callable[[Any], int]
) -> None:
    at_once = ask()
    effects.write(name)
    outer, savepoint = ask(), model.Session.begin_nested()
    inner = ask()
    savepoint.rollback()
    assert list(map(rolled_back, (at_once, outer, inner))) == [0, 0, 1]
    model.Session.rollback()
    assert list(map(rolled_back, (at_once, outer, inner))) == [0, 1, 1]
    effects.write(name)
    with model.Session.begin_nested():
        job = ask()
    model.Session.commit()
    assert (rolled_back(job), lost()) == (0, [])


def break_statement() -> None:
    model.Session.execute(sa.text("SELECT 1/0"))


def break_flush() -> None:
    for _ in range(2):
        model.Session.add(model.User(id="same", name="same", email="same@example.com"))
    model.Session.flush()


def lose_connection() -> None:
    driver: Any = model.Session.connection().connection.dbapi_connection
    cut([driver.info.backend_pid])
    model.Session.execute(sa.text("SELECT 1"))


@pytest.mark.parametrize("in_frame", [False, True])
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (break_statement, DataError),
        (break_flush, IntegrityError),
        (lose_connection, OperationalError),
    ],
)
def test_session_that_has_failed(
    fail: Callable[[], None], error: type[Exception], in_frame: bool
) -> None:
    """Code that reports the failure may ask for a job: the session carries nothing any more."""
    asked: list[Any] = []

    def act(*_: Any) -> None:
        Effects().write("failed")
        with pytest.raises(error):
            fail()
        asked.append(ask())
        assert jobs.job_from_id(asked[0].id) == asked[0]
        raise ProbeError

    with pytest.raises(ProbeError):
        in_action(act) if in_frame else act()
    assert is_written(asked[0])
    model.Session.rollback()
    assert is_written(asked[0])


@pytest.mark.parametrize("in_session", [False, True])
def test_connection_is_lost_when_a_job_is_asked_for(in_session: bool, effects: Effects) -> None:
    """Of the session: its code gets the error, and can go on after a rollback."""
    effects.write("lost") if in_session else model.Session.execute(sa.text("SELECT 1"))
    driver: Any = model.Session.connection().connection.dbapi_connection
    cut([driver.info.backend_pid])
    with pytest.raises(OperationalError):
        ask()
    model.Session.rollback()
    assert look(f"SELECT count(*) FROM {S}.files_rq_job") == 0
    assert is_written(ask())


def test_all_threads_ask_while_the_pool_is_empty() -> None:
    """A second connection of the pool for each would be one that the others have."""
    pool: Any = engine().pool
    size = pool.size() + pool._max_overflow
    model.Session.remove()
    ready, done = threading.Barrier(size), threading.Barrier(size)

    def work() -> tuple[Any, int]:
        model.Session.execute(sa.text("SELECT 1"))
        ready.wait(20)
        job, busy = ask(), pool.checkedout()
        done.wait(20)
        model.Session.remove()
        return job, busy

    begin = time.monotonic()
    with ThreadPoolExecutor(size) as threads:
        asked = [future.result() for future in [threads.submit(work) for _ in range(size)]]
    assert size >= 15
    assert {busy for _, busy in asked} == {size}
    assert time.monotonic() - begin < 10  # the pool's timeout is 30
    assert all(is_written(job) for job, _ in asked)


def test_process_that_forks(name: str) -> None:
    """Each process has its own connection; the child leaves the parent's alone."""
    ask()
    with commit._own._lock:  # another thread of the parent asks at the moment
        child = fork(lambda: ask(job_id=f"{name}-child"))
        assert os.waitpid(child, 0)[1] == 0
    ask(job_id=f"{name}-parent")
    found = rows(f"SELECT rq_id FROM {S}.files_rq_job WHERE starts_with(rq_id, :name)", name=name)
    assert {rq_id for (rq_id,) in found} == {f"{name}-child", f"{name}-parent"}


def test_connection_that_the_server_has_ended() -> None:
    ask()
    change("SELECT pg_terminate_backend(:pid)", pid=commit._own._connection.info.backend_pid)
    assert is_written(ask())


class _LosesAnswer(commit._OwnConnection):
    """Its server ends it once, after the commit of a job and before the answer."""

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], Any] | None = meanwhile

    def _run(self, engine: Any, query: str, values: Any) -> list[Any]:
        found = super()._run(engine, query, values)
        if "files_rq_put" in query and self._meanwhile:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
            cut([self._connection.info.backend_pid])
            super()._run(engine, "SELECT 1", {})  # raises the driver's own error
        return found


@pytest.mark.parametrize("status", ["todo", "doing", "succeeded"])
@pytest.mark.parametrize("unique", [False, True])
def test_answer_is_lost(
    unique: bool, status: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement runs again, and finds its job, also if a worker has begun it meanwhile."""

    def go_on() -> None:
        change(
            f"UPDATE {S}.procrastinate_jobs SET status = :status WHERE id ="
            f" (SELECT job_id FROM {S}.files_rq_job WHERE rq_id = :name)",
            status=status,
            name=name,
        )

    model.Session.remove()
    own = _LosesAnswer(go_on)
    monkeypatch.setattr(commit, "_own", own)
    queue: Any = jobs.get_queue()
    job = queue.create_job(jobs.test_job, job_id=name)
    queue.enqueue_job(job, unique=unique)
    assert own._meanwhile is None
    assert look(f"SELECT count(*) FROM {S}.files_rq_job WHERE rq_id = '{name}'") == 1
    # negative control: the same object again is another job
    queue.enqueue_job(job)
    assert look(f"SELECT count(*) FROM {S}.files_rq_job WHERE rq_id = '{name}'") == 2


@pytest.mark.parametrize("in_session", [False, True])
def test_tables_are_missing(in_session: bool, effects: Effects, name: str) -> None:
    change(f"ALTER SCHEMA {S} RENAME TO set_aside")
    try:
        if in_session:
            effects.write(name)
        with pytest.raises(NotInstalledError, match="ckan files background init"):
            ask()
    finally:
        model.Session.remove()
        change(f"ALTER SCHEMA set_aside RENAME TO {S}")
    ask()


def test_two_ask_with_the_same_id(effects: Effects, name: str) -> None:
    """The second one waits for the first one's commit, and then replaces its job."""
    effects.write(name)
    ask(job_id=name)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(ask, job_id=name)
        time.sleep(0.2)
        assert not second.done()
        model.Session.commit()
        second.result(10)
        threads.submit(model.Session.remove).result()
    query = f"""
        SELECT r.current, j.status::text
        FROM {S}.files_rq_job r JOIN {S}.procrastinate_jobs j ON j.id = r.job_id WHERE rq_id = :name
    """
    assert {tuple(row) for row in rows(query, name=name)} == {(False, "cancelled"), (True, "todo")}


@pytest.mark.parametrize("fails", [False, True])
def test_other_threads_do_not_wait_for_an_id(fails: bool, effects: Effects, name: str) -> None:
    """They share a connection with the one that waits, also in a session that has failed."""

    def wait() -> Any:
        if fails:
            with pytest.raises(DataError):
                break_statement()
        return ask(job_id=name)

    effects.write(name)
    ask(job_id=name)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(wait)
        time.sleep(0.5)
        begin = time.monotonic()
        assert is_written(in_thread(ask))
        assert time.monotonic() - begin < 5
        assert not second.done()
        model.Session.commit()
        assert is_written(second.result(10))
        threads.submit(model.Session.remove).result()


@pytest.mark.parametrize("fail", [break_statement, break_flush])
@pytest.mark.parametrize("is_held", [True, False])
def test_session_waits_for_itself(
    is_held: bool,
    fail: Callable[[], None],
    effects: Effects,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for ever: before the part of its transaction that has failed, it has written the id."""
    monkeypatch.setattr(commit, "_MOST_PATIENCE", "200ms")
    with Block(eager=True) if is_held else nullcontext():
        effects.write(name)
        ask(job_id=name)
        if is_held:
            model.Session.commit()
        else:
            model.Session.begin_nested()
        with pytest.raises((DataError, IntegrityError)):
            fail()
        with pytest.raises(JobLockedError, match="rollback"):
            ask(job_id=name)
        model.Session.rollback()
        ask(job_id=name)
    model.Session.commit()


@pytest.mark.parametrize("commits", [True, False])
def test_two_want_the_only_job_with_an_id(commits: bool, effects: Effects, name: str) -> None:
    """The second one waits likewise, and asks for nothing if the first one commits."""
    queue: Any = jobs.get_queue()

    def ask_once() -> Any:
        return queue.enqueue_job(queue.create_job(jobs.test_job, job_id=name), unique=True)

    effects.write(name)
    ask_once()
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(ask_once)
        time.sleep(0.2)
        assert not second.done()
        (model.Session.commit if commits else model.Session.rollback)()
        with pytest.raises(DuplicateJobError) if commits else nullcontext():
            second.result(10)
        threads.submit(model.Session.remove).result()
    assert look(f"SELECT count(*) FROM {S}.files_rq_job WHERE rq_id = '{name}'") == 1
