"""The progress of a job, from a task's ``percent`` and from ``set_progress``."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import (
    Call,
    JobAborted,
    NotInJobError,
    chain,
    current_job,
    set_progress,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


def kept() -> tuple[float | None, str | None]:
    """Return the progress of the running job in the database."""
    job: Any = current_job()
    found = shown(job)
    return found.percent, found.text


# percent


def test_percent(make_task: Any, run: Any) -> None:
    """It is called with the task's arguments, before each step but the first."""
    seen: list[Any] = []

    @make_task(percent=lambda total, remaining: 100 * (total - remaining) / total)
    def wait(total: int, remaining: int) -> Any:
        seen.append(kept())
        return wait(total, remaining - 1) if remaining else None

    job = run(wait.delay(4, remaining=4))
    assert seen == [(None, None), (25, None), (50, None), (75, None), (100, None)]
    assert (job.percent, job.text) == (100, None)


def test_percent_gets_the_arguments(make_task: Any) -> None:
    """Not the context, which the function gets."""

    def named(context: Any, done: int, total: int, more: int = 0) -> None: ...
    def positional(context: Any, done: int, /, total: int = 4) -> None: ...
    def numbers(context: Any, *numbers: int) -> None: ...
    def keywords(context: Any, **named: int) -> None: ...

    def percent(function: Any, percent: Callable[..., float], *args: int, **kwargs: int) -> Any:
        task = make_task(function, pass_context=True, percent=percent)
        return task.percent_of(task(*args, **kwargs))

    assert percent(named, lambda done, total: 100 * done / total, 1, total=4) == 25
    assert percent(named, lambda done, total, **_: 100 * done / total, 1, 4, more=1) == 25
    assert percent(positional, lambda done, /, total=4: 100 * done / total, 1) == 25
    assert percent(numbers, lambda *n: 100 * n[0] / n[1], 1, 4) == 25
    assert percent(keywords, lambda **n: 100 * n["done"] / n["total"], done=1, total=4) == 25


@pytest.mark.parametrize(
    "percent",
    [
        *(lambda _: 1 / 0, lambda _: 101, lambda _: -1, lambda _: math.nan),
        *(lambda _: "much", lambda _: None, lambda _: object(), lambda: 60),
    ],
)
def test_percent_that_is_broken(percent: Any, make_task: Any, run: Any) -> None:
    """A job does not fail because of its progress: the last one that is known stays."""
    seen: list[Any] = []

    @make_task(percent=lambda remaining: percent(remaining) if remaining == 1 else 50)
    def work(remaining: int) -> Any:
        seen.append(kept())
        return work(remaining - 1) if remaining else None

    job = run(work.delay(3))
    assert seen == [(None, None), (50, None), (50, None), (50, None)]
    assert (job.status, job.percent, job.text) == ("succeeded", 100, None)


# set_progress


def test_set_progress(make_task: Any, run: Any) -> None:
    """The commit of the step writes it; a text stays until there is another one."""
    seen: list[Any] = []

    @make_task
    def work(number: int = 0) -> Any:
        seen.append(kept())
        said = [(10, "ü 1 of 3 files"), (50.5,), (60, "")]
        if number == len(said):
            return None
        set_progress(*said[number])
        return work(number + 1)

    job = run(work.delay())
    text = "ü 1 of 3 files"
    assert seen == [(None, None), (10, text), (50.5, text), (60, "")]
    assert (job.percent, job.text) == (100, "")


def test_nothing_is_known(run: Any) -> None:
    job = run(sample.noop.delay())
    assert (job.status, job.percent, job.text) == ("succeeded", None, None)
    with pytest.raises(NotInJobError):
        set_progress(50)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(10, "first"), (90, "second"), (20,)], (20, "second")),
        *[([(percent,)], (percent, None)) for percent in (0, 100, 33, True)],
        ([], (None, None)),
    ],
)
@pytest.mark.parametrize("same_step", [True, False])
def test_end_of_a_job_keeps_it(
    said: Any, expected: Any, same_step: bool, make_task: Any, run: Any
) -> None:
    """What the step that fails has set last, and what one before it has."""

    @make_task
    def work() -> Any:
        for each in said:
            set_progress(*each)
        return stop.function() if same_step else stop()

    @make_task
    def stop() -> None:
        raise ValueError("stop") if same_step else JobAborted("stop")

    job = run(work.delay())
    assert job.status == ("failed" if same_step else "aborted")
    assert (job.percent, job.text) == expected


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        *[((percent,), "ValueError") for percent in (-0.1, 100.1, math.nan, math.inf, "much")],
        *[((percent,), "TypeError") for percent in (None, [1])],
        *[((50, text), "TypeError: .* is no string") for text in (5, ["a"], object())],
    ],
)
def test_what_is_no_progress(wrong: Any, error: str, make_task: Any, run: Any) -> None:
    @make_task
    def work() -> None:
        set_progress(30, "before")
        set_progress(*wrong)

    job = run(work.delay())
    assert (job.status, job.percent, job.text) == ("failed", 30, "before")
    assert re.match(error, job.error)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 100_000], ids=["NUL", "half", "long"])
def test_text_that_postgresql_cannot_hold(text: str, make_task: Any, run: Any) -> None:
    """A job does not fail because of its progress."""

    @make_task
    def work(times: int) -> Any:
        set_progress(30, text)
        return work(times - 1) if times else None

    job = run(work.delay(1))
    assert (job.status, len(job.text)) == ("succeeded", len(text))


def test_percent_of_the_next_step_counts_more(make_task: Any, run: Any) -> None:
    seen: list[Any] = []

    @make_task(percent=lambda remaining: 100 - remaining)
    def work(remaining: int) -> Any:
        seen.append(kept())
        set_progress(5, f"{remaining} remain")
        return work(remaining - 40) if remaining else None

    job = run(work.delay(80))
    assert seen == [(None, None), (60, "80 remain"), (100, "40 remain")]
    assert (job.percent, job.text) == (100, "0 remain")


def test_in_async_tasks(make_task: Any, run: Any) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        set_progress(70, "inner")

    @make_task
    async def work() -> None:
        await asyncio.gather(inner(), asyncio.create_task(inner()))
        raise ValueError("stop")

    job = run(work.delay())
    assert (job.percent, job.text) == (70, "inner")


# in a chain


def test_in_a_chain(make_task: Any, run: Any) -> None:
    """The progress is that of the part; outside of a chain it is that of the job."""
    seen: list[float | None] = []

    @make_task(pass_context=True)
    def work(context: Any) -> None:
        for percent in (0, 50, 100):
            set_progress(percent)
            seen.append(context.percent)

    noop = sample.noop()
    for ask, expected in (
        (work.delay, [0, 50, 100]),
        (lambda: chain.delay([noop, work()]), [50, 75, 100]),
        (lambda: chain.delay([noop, chain([work(), noop])]), [50, 62.5, 75]),
    ):
        seen.clear()
        job = run(ask())
        assert (seen, job.status, job.percent) == (expected, "succeeded", 100)


def test_part_of_a_chain_that_goes_on(
    make_task: Any, tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Its progress lasts, also where a later step sets none; then its part is done."""

    @make_task
    def count(left: int) -> Call | None:
        if left > 1:
            set_progress(100 - 25 * left)
        return count(left - 1) if left else None

    job = chain.delay([chain([count(3)]), sample.noop()])
    percents: list[float | None] = []
    while tasks.run_pending_jobs(most=1).steps:
        percents.append(shown(job).percent)
    assert percents == [12.5, 25, 25, 50, 100]
    assert "is not known" not in caplog.text
