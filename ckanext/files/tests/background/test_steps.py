"""Steps: the effects of a task, and where its job goes on, in one commit."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.background import (
    ArgumentError,
    Call,
    JobAborted,
    UnknownTaskError,
    control,
    current_job,
    deserialize_task,
    record,
)
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.shared import on_commit
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import count_commits, look, statements, watch
from ckanext.files.tests.support.jobs import effects_of, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")


def retitle(dataset: str, title: str) -> None:
    call("package_patch", None, id=dataset, title=title)


# one job of many steps


def test_a_job_of_many_steps(tasks: TasksManager, name: str) -> None:
    """One job, one row, one id; its arguments stay as the request gave them."""
    job = sample.count_down.delay(name, 3, 3)
    assert tasks.run_pending_jobs().steps == 4
    assert effects_of(name) == [f"{name}-{number}" for number in range(4)]
    [row] = tasks.jobs.values()
    assert row["args"] == {"name": name, "total": 3, "remaining": 3}
    assert (row["status"], row["attempts"], shown(job).step) == ("succeeded", 1, 4)
    assert [event.type for event in record.history(job.id)] == ["deferred", "started", "succeeded"]


def test_stack_does_not_grow(make_task: Any, run: Any) -> None:
    depths: list[int] = []

    @make_task
    def wait(times: int) -> Any:
        frame, depth = sys._getframe(), 0
        while frame := frame.f_back:
            depth += 1
        depths.append(depth)
        return wait(times - 1) if times else None

    run(wait.delay(50))
    assert len(depths) == 51
    assert len(set(depths)) == 1


def test_effects_and_step_are_seen_together(make_task: Any, run: Any, name: str) -> None:
    """Although the task commits by itself, and calls actions that do."""
    dataset = factories.Dataset(title="none")["id"]

    @make_task
    def work(times: int) -> Any:
        done = ("doing", 2 - times)
        wait_for(lambda: done in {row[:2] for row in list(seen)})
        for number in range(2):
            sample.effect(f"{name}-{times}-{number}")
            model.Session.commit()
            time.sleep(0.01)
        retitle(dataset, f"title {times}")
        time.sleep(0.01)
        return work(times - 1) if times else None

    job = work.delay(2)
    model.Session.commit()
    query = f"""
        SELECT (SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = :id),
               (SELECT coalesce(max(step), 0) FROM {SCHEMA}.files_job WHERE job_id = :id),
               (SELECT count(*) FROM files_test_effect WHERE starts_with(name, :name)),
               (SELECT title FROM package WHERE id = :dataset)
    """
    with watch(query, id=job.id, name=name, dataset=dataset) as seen:
        run(job)
    assert seen == {
        ("todo", 0, 0, "none"),
        ("doing", 0, 0, "none"),
        ("doing", 1, 2, "title 2"),
        ("doing", 2, 4, "title 1"),
        ("succeeded", 3, 6, "title 0"),
    }
    assert title_in_solr(dataset) == "title 0"


def test_one_commit_a_step(make_task: Any, run: Any) -> None:
    dataset, counts = factories.Dataset()["id"], []

    @make_task
    def work(times: int) -> Any:
        counts.append(len(commits))
        for number in range(2):
            retitle(dataset, f"title {times} {number}")
            model.Session.commit()
        counts.append(len(commits))
        return work(times - 1) if times else None

    with count_commits() as commits:
        run(work.delay(2))
    # after a step its own, and that by which the next one is claimed
    assert [after - before for before, after in pairwise(counts)] == [0, 2] * 2 + [0]


def test_a_commit_at_the_end_costs_no_savepoint(make_task: Any, run: Any, name: str) -> None:
    @make_task
    def work() -> None:
        sample.effect(name)
        model.Session.commit()

    job = work.delay()
    with statements() as seen:
        run(job)
    assert not [statement for statement in seen if statement.startswith("SAVEPOINT")]
    assert effects_of(name) == [name]


def test_failing_step_leaves_nothing(
    make_task: Any, run: Any, tasks: TasksManager, name: str
) -> None:
    """Neither in the database nor in Solr, whatever was committed within it."""
    dataset = factories.Dataset(title="before")["id"]

    @make_task
    def work(fails: bool) -> None:
        sample.effect(name)
        model.Session.commit()
        retitle(dataset, "after")
        sample.noop.delay()
        sample.noop.configure(countdown=3600).delay()
        model.Session.commit()
        if fails:
            raise ValueError("it is wrong")

    for fails, title in ((True, "before"), (False, "after")):
        assert run(work.delay(fails)).status == ("failed" if fails else "succeeded")
        assert effects_of(name) == ([] if fails else [name])
        assert look("SELECT title FROM package WHERE id = :id", id=dataset) == title
        assert title_in_solr(dataset) == title
        assert len(tasks.jobs) == (1 if fails else 4)
    assert (len(tasks.succeeded_jobs), len(tasks.pending_jobs)) == (2, 1)


def test_callbacks_run_before_the_next_job_is_claimed(
    make_task: Any, tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may take long, and another worker is to take that job."""

    @make_task
    def work(calls_back: bool) -> None:
        if calls_back:
            on_commit(lambda: None)

    monkeypatch.setattr(tasks, "next_queues", lambda: (True, None))  # as in a worker
    for calls_back, expected in ((True, "todo"), (False, "doing")):
        work.configure(priority=1).delay(calls_back)
        next_job = sample.noop.delay()
        tasks.run_pending_jobs(most=1)
        assert shown(next_job).status == expected
        control.cancel(next_job.id)


def test_error_of_the_database(make_task: Any, run: Any, name: str) -> None:
    """The session is usable after it. PostgreSQL finds some errors at the commit only."""

    @make_task
    def divide() -> None:
        model.Session.execute(sa.text("SELECT 1 / 0"))

    jobs = [each.delay(*args) for each, *args in ((divide,), *[(sample.write, name)] * 2)]
    states = [run(job).status for job in jobs]
    assert states == ["failed", "succeeded", "failed"]
    for job, error in ((jobs[0], "division by zero"), (jobs[2], "UniqueViolation")):
        assert error in str(shown(job).error)
    assert effects_of(name) == [name]


# going on


def test_resume_at_the_last_finished_step(make_task: Any, run: Any, name: str) -> None:
    """Each effect is there once: PostgreSQL refuses a second one at the commit."""
    broken, ran = {2, 0}, []

    @make_task
    def work(times: int) -> Any:
        ran.append(times)
        sample.effect(f"{name}-{times}")
        model.Session.commit()
        if times in broken:
            raise ValueError(f"broken at {times}")
        return work(times - 1) if times else None

    job = work.delay(4)
    for at in (2, 0):
        failed = run(job)
        assert (failed.status, failed.step) == ("failed", 4 - at)
        assert failed.error == f"ValueError: broken at {at}"
        assert len(effects_of(name)) == 4 - at
        broken.remove(at)
        assert control.retry(job.id)
    ended = run(job)
    assert ran == [4, 3, 2, 2, 1, 0, 0]
    assert (ended.status, ended.step, ended.error) == ("succeeded", 5, None)
    assert effects_of(name) == [f"{name}-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        *[(result, "") for result in (None, 5, "finished", {"a": 1}, object(), [])],
        (Call("files.test.nowhere", {}), "There is no task files.test.nowhere"),
    ],
)
def test_results(result: Any, error: str, make_task: Any, run: Any, name: str) -> None:
    """All but calls end the job. A call of an unknown task fails the step that returns it."""

    @make_task
    def work() -> Any:
        sample.effect(name)
        return result

    job = run(work.delay())
    assert job.status == ("failed" if error else "succeeded")
    assert error in (job.error or "")
    assert effects_of(name) == ([] if error else [name])


def test_context(make_task: Any, run: Any) -> None:
    """Of each step. Another task goes on with the options of the job, not with its own."""
    seen: list[Any] = []

    @make_task(queue="one", pass_context=True)
    def first(context: Any, name: str) -> Any:
        assert context is current_job()
        seen.append(dataclasses.replace(context))
        return second(name=name)

    @make_task(queue="two", pass_context=True)
    async def second(context: Any, *, name: str) -> None:
        assert context is current_job()
        seen.append(dataclasses.replace(context))

    job = first.configure(lock="a lock", priority=3).delay("ü")
    assert run(job).status == "succeeded"
    assert [(each.step, each.call) for each in seen] == [(0, first("ü")), (1, second(name="ü"))]
    for context in seen:
        assert context.id == job.id
        assert (context.queue, context.lock, context.priority) == ("one", "a lock", 3)
        assert (context.attempts, context.retries) == (0, 0)
        assert (context.user_id, context.task_id) == (None, None)
        assert not context.should_abort()
    assert current_job() is None


# what is kept of a failure


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_error_and_traceback(make_task: Any, run: Any) -> None:
    @make_task
    def work(name: str) -> None:
        try:
            int(name)
        except ValueError as error:
            raise UnknownTaskError(f"{name} is wrong") from error

    found = run(work.delay("ü%s\n"))
    assert found.error == f"{UnknownTaskError.__module__}.UnknownTaskError: ü%s\n is wrong"
    assert found.traceback.startswith("Traceback (most recent call last):")
    for part in ("ValueError: invalid literal", "direct cause", "in work", found.error):
        assert part in found.traceback
    assert found.attempts == 1
    assert isinstance(found.finished, dt.datetime)


@pytest.mark.parametrize(
    ("error", "status", "kept"),
    [
        pytest.param(ValueError("a\0b"), "failed", "ValueError: a", id="NUL"),
        pytest.param(ValueError("\ud800"), "failed", "ValueError", id="surrogate"),
        pytest.param(ValueError("x" * 1_000_000), "failed", "ValueError: xxx", id="long"),
        pytest.param(MuteError(), "failed", f"{__name__}.MuteError", id="without words"),
        pytest.param(JobAborted("not needed"), "aborted", "not needed", id="aborted"),
        pytest.param(JobAborted(""), "aborted", "", id="aborted without a reason"),
    ],
)
def test_errors(error: Exception, status: str, kept: str, make_task: Any, run: Any) -> None:
    """What PostgreSQL cannot hold is replaced; a task that ends its job is not tried again."""

    @make_task(retry=status == "aborted")
    def work() -> None:
        raise error

    job = run(work.delay())
    assert job.status == status
    assert kept in (job.error or "")


# calls


def test_run_once(make_task: Any, run: Any) -> None:
    """One run of a function, here and now: its result, which may be a call."""
    got: list[Any] = []

    @make_task
    def wait(times: int) -> Any:
        return wait(times - 1) if times else "finished"

    @make_task
    async def later(value: int) -> int:
        return value

    @make_task
    async def within_a_loop() -> None:
        got.append((wait(0).run_once(), await later(6).run_once()))

    assert wait(1).run_once() == wait(0)
    assert wait(0).run_once() == "finished"
    assert later(5).run_once() == 5
    asyncio.run(within_a_loop.function())
    run(within_a_loop.delay())
    assert got == [("finished", 6)] * 2
    with pytest.raises(ValueError, match="a is wrong"):
        sample.fail_after("a").run_once()
    with pytest.raises(UnknownTaskError):
        Call("files.test.nowhere", {}).run_once()


def test_deserialize_task() -> None:
    call = sample.write("ü")
    assert deserialize_task(call) is call
    for value in (call.as_json(), sample.anything(call).args["*"][0]):
        assert deserialize_task(value) == call
    for wrong in (
        *(None, sample.write.name, [], {}, {"__call__": "name"}, sample.write),
        {"__call__": 5, "args": {}},
        {"__call__": "name", "args": []},
        {"__call__": "name", "args": {}, "more": 1},
    ):
        with pytest.raises(ArgumentError, match="no call of a task: "):
            deserialize_task(wrong)
