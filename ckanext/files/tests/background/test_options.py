"""Options of jobs: those of the task, those of ``configure`` in their place, and invalid ones."""

from __future__ import annotations

import datetime as dt
import enum
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import BackgroundError, send_task, task
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.jobs import seconds_to_wait, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

UTC = dt.timezone.utc


class Grade(enum.IntEnum):
    """Priorities."""

    LOW = -(2**31)
    HIGH = 2**31 - 1
    TOO_HIGH = 2**31


def test_what_configure_says() -> None:
    eta = dt.datetime(2030, 1, 2, 3, 4, 5, 678901, dt.timezone(dt.timedelta(hours=2)))
    options: Any = {"queue": "slow", "lock": "a lock", "queueing_lock": "one", "priority": -7}
    found = shown(sample.noop.configure(eta=eta, **options).delay())
    assert {name: getattr(found, name) for name in options} == options
    assert found.scheduled_at == eta


def test_what_the_task_says_holds_unless_configured(make_task: Any) -> None:
    @make_task(queue="slow", lock="a", queueing_lock="b", priority=5)
    def echo() -> None: ...

    found = shown(echo.configure(queueing_lock="c", priority=0).delay())
    assert (found.queue, found.lock, found.queueing_lock) == ("slow", "a", "c")
    assert found.priority == 0
    found = shown(send_task(echo.name, queue="fast"))
    assert (found.queue, found.lock, found.queueing_lock) == ("fast", "a", "b")
    assert found.priority == 5


def test_times(tasks: TasksManager, effects: Effects, name: str) -> None:
    """Without a time zone they are in UTC, as in CKAN's tables."""
    past, later = dt.datetime(2020, 1, 2, 9), dt.datetime(2040, 1, 2, 9)
    sample.write.configure(eta=past.replace(tzinfo=UTC)).delay(f"{name}-past")
    sample.write.configure(eta=past).delay(f"{name}-past without a zone")
    sample.write.configure(countdown=-1).delay(f"{name}-present")
    for job in (sample.noop.configure(eta=later).delay(), send_task(sample.noop.name, eta=later)):
        assert shown(job).scheduled_at == later.replace(tzinfo=UTC)
    in_an_hour = sample.noop.configure(countdown=3600).delay()
    assert seconds_to_wait(in_an_hour) == pytest.approx(3600, abs=30)
    assert tasks.run_pending_jobs().steps == 3
    for when in ("past", "past without a zone", "present"):
        assert effects.exists(f"{name}-{when}")
    assert len(tasks.pending_jobs) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"eta": "2030-01-01T00:00:00Z"}, "'2030-01-01T00:00:00Z' is no datetime"),
        ({"eta": dt.date(2030, 1, 1)}, "is no datetime"),
        ({"eta": dt.datetime.now(UTC), "countdown": 1}, "eta or countdown, not both"),
        ({"eta": dt.datetime.max.replace(tzinfo=UTC)}, "beyond all times"),
        ({"eta": dt.datetime.min.replace(tzinfo=UTC)}, "beyond all times"),
        ({"countdown": "3"}, "countdown '3' is no number"),
        ({"countdown": float("nan")}, "countdown nan is no number"),
        ({"countdown": 1e30}, r"countdown 1e\+30 is no number"),
        ({"queue": "q" * 41}, "queue that begins 'q+' is longer than 40 bytes"),
        ({"queue": "ü" * 21}, "queue .* longer than 40 bytes"),
        ({"queue": 5}, "queue 5 is no string"),
        ({"lock": "a\0b"}, "lock .* NUL"),
        ({"lock": "l" * 1001}, "lock that begins .* longer than 1000 bytes"),
        ({"queueing_lock": "ü" * 501}, "queueing_lock .* longer than 1000 bytes"),
        ({"queueing_lock": "\ud800"}, "surrogate"),
        ({"priority": 2**31}, "priority 2147483648 is not within 32 bits"),
        ({"priority": Grade.TOO_HIGH}, "is not within 32 bits"),
        ({"priority": 1.5}, "priority 1.5 is no integer"),
        ({"priority": True}, "priority True is no integer"),
    ],
)
def test_options_that_are_wrong(options: Any, reason: str, tasks: TasksManager) -> None:
    """The decorator and the call refuse them, and the transaction goes on."""
    job = sample.noop.delay()
    asking: list[Callable[[], Any]] = [
        lambda: sample.noop.configure(**options).delay(),
        lambda: send_task(sample.noop.name, **options),
        lambda: send_task("files.test.elsewhere", **options),
    ]
    if not options.keys() & {"eta", "countdown"}:
        asking.append(lambda: task(name="files.test.wrong", **options)(sample.effect))
    for ask in asking:
        with pytest.raises(BackgroundError, match=reason):
            ask()
    model.Session.commit()
    assert list(tasks.jobs) == [job.id]


def test_options_that_there_are_not() -> None:
    for ask in (sample.noop.configure, lambda **options: send_task(sample.noop.name, **options)):
        with pytest.raises(TypeError, match="schedule_in"):
            ask(schedule_in={"seconds": 1})  # pyright: ignore[reportCallIssue]


def test_the_longest_options(tasks: TasksManager) -> None:
    """PostgreSQL takes them, also random text, which it cannot compress."""
    key = "".join(random.Random(1).choices(string.ascii_letters, k=1000))
    options: Any = {"queue": "ü" * 20, "lock": key, "queueing_lock": key}
    send_task(sample.noop.name, task_id=key, **options)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert [job["lock"] for job in tasks.succeeded_jobs] == [key]


def test_priority_of_a_class_derived_from_int(make_task: Any) -> None:
    """It is compared with the bounds, and kept as a plain integer."""

    @make_task(priority=Grade.LOW)
    def echo() -> None: ...

    assert shown(echo.delay()).priority == -(2**31)
    assert shown(echo.configure(priority=Grade.HIGH).delay()).priority == 2**31 - 1
    assert type(echo.options["priority"]) is int


def test_jobs_run_by_priority_then_in_order(
    make_task: Any, ran: list[Any], tasks: TasksManager
) -> None:
    @make_task
    def note(number: int) -> None:
        ran.append(number)

    for number, priority in enumerate([0, -1, 5, 0, 5]):
        note.configure(priority=priority).delay(number)
    tasks.run_pending_jobs()
    assert ran == [2, 4, 0, 3, 1]
