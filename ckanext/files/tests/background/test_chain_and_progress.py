"""Several calls in one job, one after the other; and the progress of a job."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ckanext.files import background
from ckanext.files.background import (
    ArgumentError,
    Call,
    JobAborted,
    NotInJobError,
    Task,
    chain,
    control,
    current_job,
    deserialize_task,
    set_progress,
    task,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    yield
    ran.clear()


@task
def note(*values: Any) -> int:
    ran.append(list(values))
    return len(ran)


@task
async def note_later(value: Any) -> None:
    ran.append([value])


@task(percent=lambda times, total=3: 100 * (total - times) / total)
def wait(times: int, total: int = 3) -> Any:
    ran.append(times)
    return wait(times - 1, total) if times else None


@task
def wait_and_note(times: int, name: str) -> Call:
    return chain([wait(times), note("hello", name)])


def test_the_state_machine_of_text_d(tasks: TasksManager, run: Any) -> None:
    job = run(wait_and_note.delay(3, "Sebastian"))
    assert ran == [3, 2, 1, 0, ["hello", "Sebastian"]]
    assert (job.task, job.step, len(tasks.jobs)) == (wait_and_note.name, 6, 1)


def test_the_chain_of_text_d(make_task: Any, run: Any) -> None:
    """Its code as it is, with the parameter total_count, which the text forgets."""

    @make_task
    def chain(values: Any, total_count: Any = None) -> Any:
        tasks = map(deserialize_task, values)  # need to manually deserialize the tasks
        first, *rest = tasks
        res = first.run_once()
        if isinstance(res, background.Task):
            return chain([res] + rest, total_count)  # noqa: RUF005
        elif not rest:  # noqa: RET505
            return res
        else:
            # Ignoring res here.
            return chain(rest, total_count)

    job = run(chain.delay([wait(2), note("hello", "Sebastian"), wait(0)]))
    assert ran == [2, 1, 0, ["hello", "Sebastian"], 0]
    assert (job.status, job.step) == ("succeeded", 5)


def test_what_is_a_task() -> None:
    """The result of the decorator, and the result of calling that; nothing else."""
    assert isinstance(wait, Task)
    assert isinstance(wait(1), Task)
    assert isinstance(deserialize_task(wait(1).as_json()), Task)
    assert not any(isinstance(each, Task) for each in (None, 1, "x", {}, wait(1).as_json()))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        pytest.param(
            [note(1), note_later("ü"), note(), note([1], {"a": None})],
            [[1], ["ü"], [], [[1], {"a": None}]],
            id="sync and async, with arguments of each kind",
        ),
        pytest.param(
            [note(1), chain([note(2), chain([note(3), wait(1)]), note(4)]), note(5)],
            [[1], [2], [3], 1, 0, [4], [5]],
            id="chains in chains",
        ),
        pytest.param([], [], id="none"),
        pytest.param([note(n) for n in range(150)], [[n] for n in range(150)], id="many"),
        pytest.param(
            json.loads(json.dumps([note(1).as_json(), wait(0).as_json()])), [[1], 0], id="as JSON"
        ),
    ],
)
def test_order(calls: Any, expected: list[Any], tasks: TasksManager, run: Any) -> None:
    """Each call is a step; results are not passed on."""
    job = run(chain.delay(calls))
    assert ran == expected
    assert (job.status, job.step, len(tasks.jobs)) == ("succeeded", max(len(expected), 1), 1)


def test_run_once_of_a_chain(loaded: Any) -> None:
    """It runs one step of the chain."""
    following = chain([note(1), note(2)]).run_once()
    assert ran == [[1]]
    assert isinstance(following, Call)
    assert following.run_once() == 2
    assert ran == [[1], [2]]


@pytest.mark.parametrize("calls", [["noop"], [5], [{}], [None], [[]], "noop", 5])
def test_what_is_no_call(calls: Any, tasks: TasksManager) -> None:
    """It is refused where the chain is made, and names the culprit."""
    for ask in (chain, chain.delay, lambda calls: chain([chain(calls), sample.noop()])):
        with pytest.raises(ArgumentError, match=r"ckanext\.files\.chain"):
            ask(calls)
    assert tasks.jobs == {}


def test_abort_between_two_parts(make_task: Any, run: Any) -> None:
    @make_task(pass_context=True)
    def stop(context: Any) -> None:
        control.cancel(context.id)

    job = chain.delay([note(1), stop(), note(2)])
    assert (run(job).status, run(job).step, ran) == ("aborted", 2, [[1]])
    assert control.retry(job.id)
    run(job)
    assert ran == [[1], [2]]


# progress


def kept() -> tuple[float | None, str | None]:
    """Return the progress of the running job in the database."""
    job: Any = current_job()
    found = shown(job)
    return found.percent, found.text


def test_percent(make_task: Any, run: Any) -> None:
    """It is called with the task's arguments, not the context, before each step but the first."""
    seen: list[Any] = []

    @make_task(pass_context=True, percent=lambda total, left, /, **_: 100 * (total - left) / total)
    def wait(context: Any, total: int, left: int, /, **more: int) -> Any:
        seen.append(kept())
        return wait(total, left - 1, **more) if left else None

    job = run(wait.delay(4, 4, more=1))
    assert seen == [(None, None), (25, None), (50, None), (75, None), (100, None)]
    assert (job.percent, job.text) == (100, None)


@pytest.mark.parametrize(
    "percent",
    [
        *(lambda _: 1 / 0, lambda _: 101, lambda _: math.nan),
        *(lambda _: "much", lambda _: None, lambda: 60),
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


def test_set_progress(make_task: Any, run: Any) -> None:
    """The commit of the step writes it; a text stays until there is another one.

    What PostgreSQL cannot hold is replaced. An async task may set it in a task of the loop.
    """
    seen: list[Any] = []
    said = [(10, "ü\0\ud800" + "x" * 100_000), (50.5,), (60, "")]

    async def say(number: int) -> None:
        set_progress(*said[number])

    @make_task
    async def work(number: int = 0) -> Any:
        seen.append(kept())
        if number == len(said):
            return None
        await asyncio.create_task(say(number))
        return work(number + 1)

    job = run(work.delay())
    text = "ü\N{REPLACEMENT CHARACTER}?" + "x" * 100_000
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
        *[([(percent,)], (percent, None)) for percent in (0, 100, True)],
        ([], (None, None)),
    ],
)
def test_end_of_a_job_keeps_it(said: Any, expected: Any, make_task: Any, run: Any) -> None:
    """What the step that fails has set last, and what the one before an abort has."""

    @make_task
    def work(fails: bool) -> Any:
        for each in said:
            set_progress(*each)
        if fails:
            raise ValueError
        return abort()

    @make_task
    def abort() -> None:
        raise JobAborted

    for fails, status in ((True, "failed"), (False, "aborted")):
        job = run(work.delay(fails))
        assert (job.status, (job.percent, job.text)) == (status, expected)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        *[((percent,), "ValueError") for percent in (-0.1, 100.1, math.nan, "much")],
        ((None,), "TypeError"),
        ((50, 5), "TypeError: .* is no string"),
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


# progress in a chain


def test_progress_of_a_chain(make_task: Any, run: Any) -> None:
    """All parts count the same; a part with a progress of its own counts by that."""

    @make_task
    def show() -> None:
        ran.append(kept()[0])

    @make_task(percent=lambda times: 50 * (2 - times))
    def show_often(times: int) -> Any:
        ran.append(kept()[0])
        return show_often(times - 1) if times else None

    job = run(chain.delay([show(), show_often(2), show(), show()]))
    # not known before the first step ends; show_often ends with its third step, at 100 of its 25
    assert ran == [None, 25, 37.5, 50, 50, 75]
    assert job.percent == 100


def test_in_a_chain(make_task: Any, run: Any) -> None:
    """The part has the progress; outside of a chain the job has it."""
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
