"""The fixture ``tasks``, which extensions use in their tests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


def test_jobs(tasks: TasksManager, tqmanager: TasksManager, effects: Effects, name: str) -> None:
    assert tasks is tqmanager
    assert len(tasks.jobs) == 0
    job = sample.write.delay(name)
    assert job.id == 1  # whatever ran before
    sample.fail_after.configure(queue="mails").delay(name=name)
    assert tasks.jobs[job.id] == {
        "id": job.id,
        "queue_name": "default",
        "task_name": "ckanext.files.tests.support.sample.write",
        "lock": None,
        "queueing_lock": None,
        "args": {"name": name},
        "status": "todo",
        "scheduled_at": None,
        "attempts": 0,
    }
    assert len(tasks.pending_jobs) == 2
    assert tasks.run_pending_jobs().steps == 2
    assert tasks.pending_jobs == []
    assert [job["status"] for job in tasks.finished_jobs] == ["succeeded", "failed"]
    assert [job["queue_name"] for job in tasks.failed_jobs] == ["mails"]
    assert [job["attempts"] for job in tasks.succeeded_jobs] == [1]
    assert effects.exists(name)
    tasks.reset()
    assert tasks.jobs == {}
    assert sample.noop.delay().id == 1


def test_awaited(make_task: Any, ran: list[Any], tasks: TasksManager, name: str) -> None:
    """In a loop of the test; async tasks have a loop of their own."""

    @make_task
    async def later(error: str | None) -> None:
        await asyncio.sleep(0)
        if error:
            raise ValueError(error)
        ran.append("later")

    async def test() -> None:
        job = await sample.count_down.defer(name, 3, 3)
        assert job.id in tasks.jobs
        await later.defer(None)
        await later.defer("it fails")
        assert (await tasks.run_pending_jobs()).steps == 6
        await asyncio.sleep(0)

    asyncio.run(test())
    assert ran == ["later"]
    assert [job["status"] for job in tasks.finished_jobs] == ["succeeded", "succeeded", "failed"]


@pytest.mark.parametrize("error", [SystemExit(2), asyncio.CancelledError()])
def test_a_step_that_wants_to_leave(
    error: BaseException, make_task: Any, tasks: TasksManager
) -> None:
    """The step fails, as in a worker."""

    def leave() -> None:
        raise error

    async def leave_later() -> None:
        raise error

    for function in (leave, leave_later):
        make_task(function).delay()
    assert tasks.run_pending_jobs().steps == 2
    assert len(tasks.failed_jobs) == 2


def test_a_step_that_ends_the_test(make_task: Any, tasks: TasksManager) -> None:
    @make_task
    def look() -> None:
        pytest.fail("it is not so")

    look.delay()
    with pytest.raises(pytest.fail.Exception, match="it is not so"):
        tasks.run_pending_jobs()


def test_in_the_tests_own_transaction(tasks: TasksManager, effects: Effects, name: str) -> None:
    sample.write.delay(name)
    sample.commit_and_fail.delay(f"{name}-failed")
    tasks.run_pending_jobs(commit=False)
    count = sa.text("SELECT name FROM files_test_effect WHERE name LIKE :name")
    assert model.Session.execute(count, {"name": f"{name}%"}).scalars().all() == [name]
    assert len(tasks.succeeded_jobs) == len(tasks.failed_jobs) == 1
    assert not effects.exists(name)
    model.Session.rollback()
    assert tasks.jobs == {}
    assert not effects.exists(name)


def test_a_few_steps(tasks: TasksManager, name: str) -> None:
    job = sample.count_down.delay(name, 3, 3)
    for most, steps, status in ((0, 0, "todo"), (3, 3, "doing"), (3, 1, "succeeded")):
        assert tasks.run_pending_jobs(most=most).steps == steps
        assert tasks.jobs[job.id]["status"] == status
