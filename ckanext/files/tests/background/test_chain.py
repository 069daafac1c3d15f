"""Several calls, one after the other, in one job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ckanext.files import background
from ckanext.files.background import (
    ArgumentError,
    Call,
    Task,
    chain,
    control,
    current_job,
    deserialize_task,
    task,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import effects_of, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")

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
        pytest.param([note(1)], [[1]], id="one"),
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


def test_one_that_fails(make_task: Any, run: Any, name: str) -> None:
    """What came before it stays, what comes after it does not run; a retry begins with it."""
    broken = {"b"}

    @make_task
    def fail(which: str) -> None:
        ran.append(which)
        if which in broken:
            raise ValueError(f"{which} is broken")

    calls = [sample.write(f"{name}-1"), fail("a"), fail("b"), sample.write(f"{name}-2")]
    job = chain.delay(calls)
    assert (run(job).status, run(job).error) == ("failed", "ValueError: b is broken")
    assert effects_of(name) == [f"{name}-1"]
    broken.clear()
    assert control.retry(job.id)
    assert run(job).status == "succeeded"
    assert ran == ["a", "b", "b"]
    assert effects_of(name) == [f"{name}-1", f"{name}-2"]


def test_abort_between_two_parts(make_task: Any, run: Any) -> None:
    @make_task(pass_context=True)
    def stop(context: Any) -> None:
        control.cancel(context.id)

    job = chain.delay([note(1), stop(), note(2)])
    assert (run(job).status, run(job).step, ran) == ("aborted", 2, [[1]])
    assert control.retry(job.id)
    run(job)
    assert ran == [[1], [2]]


def test_each_part_commits(make_task: Any, run: Any, name: str) -> None:
    """The second part sees the changes of the first one over another connection."""

    @make_task
    def see() -> None:
        ran.append(effects_of(name))

    run(chain.delay([see(), sample.write(name), see()]))
    assert ran == [[], [name]]


def test_progress(make_task: Any, run: Any) -> None:
    """All parts count the same; a part with a progress of its own counts by that."""

    def show_percent() -> None:
        context: Any = current_job()
        ran.append(shown(context).percent)

    @make_task
    def show() -> None:
        show_percent()

    @make_task(percent=lambda times: 50 * (2 - times))
    def show_often(times: int) -> Any:
        show_percent()
        return show_often(times - 1) if times else None

    job = run(chain.delay([show(), show_often(2), show(), show()]))
    # not known before the first step ends; show_often ends with its third step, at 100 of its 25
    assert ran == [None, 25, 37.5, 50, 50, 75]
    assert job.percent == 100
