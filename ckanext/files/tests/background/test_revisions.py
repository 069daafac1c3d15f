"""Jobs that are older than the source of their tasks: the rules of text D (5 and 6: test_steps).

A job that no longer fits fails with an error about it, and the next job runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import (
    Job,
    Task,
    call,
    chain,
    control,
    send_task,
)
from ckanext.files.background.record import JobRecord
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")

WORK = f"{__name__}.work"
"""The name of the task in all its versions."""

ran: list[Any] = []
"""What the tasks of a test got."""


@pytest.fixture
def version(make_task: Any) -> Callable[..., Any]:
    """Make a function the next version of a task."""
    ran.clear()

    def version(function: Any, called: str = "work", **options: Any) -> Any:
        function.__name__ = called
        return make_task(function, **options)

    return version


def delete(task: Task[Any]) -> None:
    """Delete the source of a task."""
    del call._tasks[task.name]


@pytest.fixture
def run(tasks: TasksManager) -> Callable[[Job], JobRecord]:
    """Run all jobs that wait, and one more, which must succeed; return the record of one."""

    def run(job: Job) -> JobRecord:
        next_job = sample.noop.delay()
        tasks.run_pending_jobs()
        assert shown(next_job).status == "succeeded"
        assert tasks.pending_jobs == []
        return shown(job)

    return run


def failed(found: JobRecord, *parts: str) -> None:
    """The job has failed, with these parts in its error and traceback."""
    assert found.status == "failed"
    for part in parts:
        assert part in (found.error or "")
        assert part in (found.traceback or "")


# 1. a task is kept with all its parameters


def test_parameters_are_those_of_the_day_it_was_asked_for(version: Any, run: Any) -> None:
    given = {"when": "asked", "deep": [{"a": 1}]}
    job = version(lambda *values, **named: None).delay("x", **given)
    given["when"] = "changed"
    version(lambda *values, **named: ran.append((values, named)))
    run(job)
    assert ran == [(("x",), {"when": "asked", "deep": [{"a": 1}]})]


# 2. a task may be called with arguments of old


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (lambda a: ..., f"{WORK}(a) cannot be called so: got an unexpected keyword"),
        (lambda: ..., f"{WORK}() cannot be called so"),
        (lambda a, c=2: ..., "unexpected keyword argument 'b'"),
        (lambda a, b, c: ..., "missing a required argument: 'c'"),
    ],
)
def test_arguments_that_fit_no_more(after: Any, reason: str, version: Any, run: Any) -> None:
    job = version(lambda a, b=2: ...).delay(1, 3)
    version(after)
    failed(run(job), "ArgumentError", reason)


# 3. source that was deleted


def test_deleted_task(version: Any, run: Any) -> None:
    """Its jobs fail, and run when it comes back."""
    work = version(lambda a, b=2: ...)
    jobs = [work.delay(1), work.delay(2)]
    delete(work)
    version(lambda a, b: ..., "walk")
    for job in jobs:
        failed(run(job), "UnknownTaskError", f"There is no task {WORK}: its source was")
        failed(run(job), f"Did you mean {__name__}.walk?")
    version(lambda a, b=2: ran.append((a, b)))
    assert control.retry(jobs[1].id)
    assert run(jobs[1]).status == "succeeded"
    assert ran == [(2, 2)]


def test_task_that_is_deleted_between_two_steps(
    version: Any, run: Any, tasks: TasksManager
) -> None:
    """Also one that only stands among the arguments of a chain."""
    second = version(lambda: ..., "second")
    first = version(lambda: second(), "first")
    jobs = [first.delay(), chain.delay([sample.noop(), second()])]
    tasks.run_pending_jobs(most=2)
    delete(second)
    for job in jobs:
        failed(run(job), f"There is no task {__name__}.second")
        assert shown(job).step == 1


# 4. optional parameters at the end


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(
            lambda a, b=2, c=5, *more, d=6: ran.append((a, b, c, more, d)),
            [(1, b, 5, (), 6) for b in (2, 3, 4)],
            id="optional parameters",
        ),
        pytest.param(
            lambda new=0, b=2, a=9: ran.append((new, a, b)),
            [(0, 1, b) for b in (2, 3, 4)],
            id="another order",
        ),
        pytest.param(
            lambda a, **old: ran.append((a, old)),
            [(1, old) for old in ({}, {"b": 3}, {"b": 4})],
            id="a parameter that takes all",
        ),
    ],
)
def test_parameters_that_still_fit(after: Any, expected: Any, version: Any, run: Any) -> None:
    """Arguments are kept by name, so another order is safe, too."""
    work = version(lambda a, b=2: ...)
    jobs = [work.delay(1), work.delay(1, 3), work.delay(b=4, a=1)]
    version(after)
    assert {run(job).status for job in jobs} == {"succeeded"}
    assert ran == expected


# 7. parameters have to be checked


def test_task_that_checks_its_parameters(version: Any, run: Any) -> None:
    """Annotations are not checked for it; what it refuses is the error of the job."""

    @version
    def work(number: int) -> None:
        ran.append(number)
        if not isinstance(number, int):
            raise TypeError(f"number is an int, not {number!r}")

    job = work.delay("1")
    work.delay(1)
    failed(run(job), "TypeError: number is an int, not '1'")
    assert ran == ["1", 1]


# 8. another implementation


def test_another_implementation(version: Any, run: Any, tasks: TasksManager) -> None:
    """Between two steps of a job, of an async function, and with other options.

    The job keeps its own options; each step runs with the new options of the task.
    """

    def old(times: int) -> Any:
        ran.append(("old", times))
        return work(times - 1)

    async def new(times: int) -> Any:
        ran.append(("new", times))
        if times == 1 and ran.count(("new", 1)) < 3:
            raise ValueError("it fails")
        return work(times - 1) if times else None

    work = version(old, queue="old")
    job = work.delay(2)
    tasks.run_pending_jobs(most=1)
    version(new, queue="new", retry=2)
    found = run(job)
    assert ran == [("old", 2), *[("new", 1)] * 3, ("new", 0)]
    assert (found.status, found.step) == ("succeeded", 3)
    assert (found.queue, found.attempts) == ("old", 3)


# a task that is renamed


def test_renamed_task(version: Any, run: Any, tasks: TasksManager) -> None:
    """Its old jobs run, also between two steps, also calls among the arguments of other jobs."""
    old = version(lambda a, b=2: old(a - 1, b))
    between = old.delay(3)
    tasks.run_pending_jobs(most=1)
    jobs = [between, old.delay(0, 3), chain.delay([old(0, 4), old(0, 5)])]
    delete(old)

    def moved(a: int, b: int = 2) -> Any:
        ran.append((a, b))
        if b == 3:
            new.retry(args=[0, 6], countdown=0)
        return new(a - 1, b) if a else None

    new = version(moved, "moved", name="files.test.new", aliases=[WORK])
    jobs.append(send_task(WORK, [0, 7]))
    assert [run(job).status for job in jobs] == ["succeeded"] * 4
    assert sorted(ran) == [(0, 2), *[(0, b) for b in (3, 4, 5, 6, 7)], (1, 2), (2, 2)]
    assert shown(between).step == 4
