"""Steps that are tried again: when, how often, with which arguments, and their errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import (
    ArgumentError,
    BackgroundError,
    MaxRetriesExceededError,
    NotInJobError,
    Retry,
    chain,
    record,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.jobs import let_time_pass, running, seconds_to_wait
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

UTC, WEST = dt.timezone.utc, dt.timezone(dt.timedelta(hours=-12))
THIRTY_DAYS = 30 * 24 * 3600.0


@pytest.fixture
def retrying(make_task: Any, ran: list[Any]) -> Callable[..., Any]:
    """Make a task that calls ``retry`` with these arguments, ``until`` it has done so often."""

    def retrying(until: int = 1000, retry: Any = False, **how: Any) -> Any:
        @make_task(retry=retry)
        def work(name: Any, *more: Any, **named: Any) -> None:
            ran.append([name, *more, running().retries])
            if running().retries < until:
                work.retry(**how)

        return work

    return retrying


def test_as_in_text_b(make_task: Any, ran: list[Any], run: Any, tasks: TasksManager) -> None:
    """The task of docs/testing/promises.rst. ``args=("x")`` is a plain string: one argument."""

    @make_task(name="NAME.echofunction")
    def echo(message: str) -> None:
        ran.append(message)
        try:
            if len(ran) == 1:
                raise OSError("the network is down")
        except Exception as e:
            # Retry again in 2 minutes
            echo.retry(args=("x"), exc=e, countdown=120, max_retries=10)

    job = echo.delay("Hello World")
    found = run(job)
    assert (found.status, found.attempts) == ("todo", 1)
    assert seconds_to_wait(job) == pytest.approx(120, abs=20)
    assert found.error == "OSError: the network is down"
    assert "echo.retry" in found.traceback
    assert [event.type for event in record.history(job.id)][-1] == "deferred_for_retry"
    # it is put off: nothing runs before its time
    assert tasks.run_pending_jobs().steps == 0
    let_time_pass()
    found = run(job)
    assert ran == ["Hello World", "x"]
    assert (found.status, found.error, found.traceback) == ("succeeded", None, None)
    # what was asked for can still be seen
    assert tasks.jobs[job.id]["args"] == {"message": "Hello World"}


# when


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ({}, 180),
        ({"countdown": 7}, 7),
        ({"countdown": float("inf")}, THIRTY_DAYS),
        ({"countdown": THIRTY_DAYS + 1}, THIRTY_DAYS),
        ({"eta": dt.datetime.max}, THIRTY_DAYS),
        ({"eta": dt.datetime.max.replace(tzinfo=WEST)}, THIRTY_DAYS),
    ],
)
def test_wait(how: Any, seconds: float, retrying: Any, run: Any) -> None:
    """Three minutes by default; a time that no table can hold becomes the longest wait."""
    job = retrying(**how).delay("a")
    assert run(job).status == "todo"
    assert seconds_to_wait(job) == pytest.approx(seconds, abs=20)


@pytest.mark.parametrize(
    ("how", "tries"),
    [
        *[({"countdown": 0}, 1), ({"countdown": 0, "max_retries": None}, 30)],
        *[({"eta": dt.datetime.min}, 1), ({"eta": dt.datetime(1970, 1, 1)}, 1)],
    ],
)
def test_at_once(how: Any, tries: int, retrying: Any, ran: list[Any], run: Any) -> None:
    """As often as it likes, if there is no limit."""
    assert run(retrying(until=tries, **how).delay("a")).status == "succeeded"
    assert ran == [["a", number] for number in range(tries + 1)]


@pytest.mark.parametrize("zone", [WEST, None])
def test_eta(zone: Any, retrying: Any, run: Any) -> None:
    """Without a time zone it is in UTC, as in CKAN's tables."""
    eta = dt.datetime(2040, 1, 2, 9, 0, tzinfo=zone)
    found = run(retrying(eta=eta).delay("a"))
    assert found.scheduled_at == eta.replace(tzinfo=zone or UTC)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"eta": dt.datetime.now(UTC), "countdown": 1}, "eta or countdown, not both"),
        ({"countdown": "soon"}, "countdown 'soon' is no number"),
        ({"args": [1, 2], "kwargs": {"name": 1}}, "multiple values for argument 'name'"),
        ({"kwargs": {"other": 1}}, "missing a required argument: 'name'"),
        ({"args": [{1}]}, f"argument 'name' of task {__name__}.work is of type set"),
    ],
)
def test_retry_that_cannot_be(how: Any, reason: str, retrying: Any, run: Any) -> None:
    """The job fails, with the reason as its error."""
    found = run(retrying(**how).delay("a"))
    assert found.status == "failed"
    assert reason in found.error


# how often


def used_up(times: int) -> str:
    """Return the error of a job whose tries are used up."""
    name = f"{MaxRetriesExceededError.__module__}.MaxRetriesExceededError"
    tried = f"{__name__}.work(name='a') was tried again {times} times"
    return f"{name}: {tried}, which is all it may be"


@pytest.mark.parametrize(
    ("how", "tries", "error"),
    [
        ({}, 3, used_up(3)),
        ({"max_retries": 0}, 0, used_up(0)),
        ({"max_retries": 5}, 5, used_up(5)),
        ({"max_retries": 1, "exc": KeyError("a reason")}, 1, "KeyError: 'a reason'"),
        # the option of the task applies to the reason as to any other error
        ({"max_retries": 1, "exc": KeyError("a reason"), "retry": 3}, 3, "KeyError: 'a reason'"),
        ({"max_retries": 2, "retry": 5}, 2, used_up(2)),
    ],
)
def test_max_retries(
    how: Any, tries: int, error: str, retrying: Any, ran: list[Any], run: Any
) -> None:
    """Three by default; the reason is told in the end."""
    found = run(retrying(countdown=0, **how).delay("a"))
    assert ran == [["a", number] for number in range(tries + 1)]
    assert (found.status, found.attempts, found.error) == ("failed", tries + 1, error)


def test_counted_for_each_step(make_task: Any, effects: Effects, name: str, run: Any) -> None:
    """An earlier step uses up no tries of a later one; attempts count all.

    What a step has changed before it is tried again is undone, also its own commits: a second
    effect of that name would be refused.
    """

    @make_task
    def work(times: int) -> Any:
        sample.effect(f"{name}-{times}")
        model.Session.commit()
        if running().retries < 2:
            work.retry(countdown=0, max_retries=2)
        return work(times - 1) if times else None

    found = run(work.delay(2))
    assert (found.status, found.step, found.attempts) == ("succeeded", 3, 7)
    assert all(effects.exists(f"{name}-{number}") for number in range(3))


# what


@pytest.mark.parametrize(
    ("how", "second"),
    [
        ({}, ["a", 1]),
        ({"args": "bc"}, ["bc", 1]),
        ({"args": ("b",)}, ["b", 1]),
        ({"kwargs": {"name": "b"}}, ["b", 1]),
        ({"args": ["b"], "kwargs": {"more": 2}}, ["b", 1]),
    ],
)
def test_arguments(how: Any, second: Any, retrying: Any, ran: list[Any], run: Any) -> None:
    assert run(retrying(until=1, countdown=0, **how).delay("a")).status == "succeeded"
    assert ran == [["a", 0], second]


def test_arguments_that_the_step_has_changed(make_task: Any, ran: list[Any], run: Any) -> None:
    """They differ then, though they are the same list; a part of a chain refuses that."""

    @make_task
    def work(names: list[str]) -> None:
        ran.append(list(names))
        names.pop(0)
        if names:
            work.retry(args=(names,), countdown=0)

    assert run(work.delay(["a", "b", "c"])).status == "succeeded"
    assert ran == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert "only its own arguments" in run(chain.delay([work(["a", "b", "c"])])).error


def test_within_a_chain(retrying: Any, ran: list[Any], run: Any) -> None:
    """The part is tried again with its arguments; other arguments would be the chain's."""
    work = retrying(until=2, countdown=0)
    assert run(chain.delay([sample.noop(), work("a"), sample.noop()])).status == "succeeded"
    assert ran == [["a", 0], ["a", 1], ["a", 2]]
    work = retrying(until=1, countdown=0, args=["a"])
    assert run(chain.delay([work("a")])).status == "succeeded"
    found = run(chain.delay([work("b")]))
    assert found.status == "failed"
    assert "only its own arguments can be replaced" in found.error


def test_of_another_task(make_task: Any, ran: list[Any], run: Any) -> None:
    """The running step is tried again, not the task whose ``retry`` was called."""

    @make_task
    def work(name: str, **how: Any) -> None:
        ran.append(name)
        if not running().retries:
            sample.write.retry(countdown=0, **how)

    run(work.delay("a"))
    assert ran == ["a", "a"]
    assert run(work.delay("b", args=["c"])).error.startswith(f"{ArgumentError.__module__}.Argument")


def test_outside_of_a_job() -> None:
    with pytest.raises(NotInJobError) as raised:
        sample.noop.retry()
    assert isinstance(raised.value, BackgroundError)
    assert issubclass(MaxRetriesExceededError, BackgroundError)
    with pytest.raises(KeyError, match="the reason"):
        sample.noop.retry(exc=KeyError("the reason"))


def test_swallowed(make_task: Any, run: Any) -> None:
    """It is an exception: code that catches it goes on."""

    @make_task
    def work() -> None:
        with pytest.raises(Retry):
            work.retry()

    assert run(work.delay()).status == "succeeded"
