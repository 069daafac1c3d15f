"""Options of jobs: of the task and of ``configure``; times, priorities, locks, queueing locks."""

from __future__ import annotations

import datetime as dt
import enum
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model
from psycopg2.errors import LockNotAvailable

from ckanext.files.background import (
    AlreadyEnqueuedError,
    BackgroundError,
    Job,
    send_task,
    task,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support.effects import Effects, count_commits
from ckanext.files.tests.support.jobs import let_time_pass, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.step_owner import StepOwner
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "files_background", "files_test_probe")

UTC = dt.timezone.utc


class Grade(enum.IntEnum):
    """Priorities."""

    LOW = -(2**31)
    HIGH = 2**31 - 1


def test_what_the_task_says_holds_unless_configured(make_task: Any) -> None:
    """A priority of a class derived from int is kept as a plain integer."""
    eta = dt.datetime(2030, 1, 2, 3, 4, 5, 678901, dt.timezone(dt.timedelta(hours=2)))

    @make_task(queue="slow", lock="a", queueing_lock="b", priority=Grade.LOW)
    def echo() -> None: ...

    found = shown(echo.configure(queueing_lock="c", eta=eta).delay())
    assert (found.queue, found.lock, found.queueing_lock) == ("slow", "a", "c")
    assert (found.priority, found.scheduled_at) == (-(2**31), eta)
    assert type(echo.options["priority"]) is int
    found = shown(send_task(echo.name, queue="fast", lock="d", priority=Grade.HIGH))
    assert (found.queue, found.lock, found.queueing_lock) == ("fast", "d", "b")
    assert found.priority == 2**31 - 1
    assert shown(echo.configure(queueing_lock="e", priority=0).delay()).priority == 0


def test_times(tasks: TasksManager, effects: Effects, name: str) -> None:
    """Without a time zone they are in UTC, as in CKAN's tables."""
    past, later = dt.datetime(2020, 1, 2, 9), dt.datetime(2040, 1, 2, 9)
    sample.write.configure(eta=past.replace(tzinfo=UTC)).delay(f"{name}-past")
    sample.write.configure(eta=past).delay(f"{name}-past without a zone")
    sample.write.configure(countdown=-1).delay(f"{name}-present")
    for job in (sample.noop.configure(eta=later).delay(), send_task(sample.noop.name, eta=later)):
        assert shown(job).scheduled_at == later.replace(tzinfo=UTC)
    in_an_hour = sample.noop.configure(countdown=3600).delay()
    assert jobs.seconds_to_wait(in_an_hour) == pytest.approx(3600, abs=30)
    assert tasks.run_pending_jobs().steps == 3
    for when in ("past", "past without a zone", "present"):
        assert effects.exists(f"{name}-{when}")
    assert len(tasks.pending_jobs) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"eta": "2030-01-01T00:00:00Z"}, "'2030-01-01T00:00:00Z' is no datetime"),
        ({"eta": dt.datetime.now(UTC), "countdown": 1}, "eta or countdown, not both"),
        ({"eta": dt.datetime.max.replace(tzinfo=UTC)}, "beyond all times"),
        ({"eta": dt.datetime.min}, "beyond all times"),
        ({"countdown": "3"}, "countdown '3' is no number"),
        ({"countdown": float("nan")}, "countdown nan is no number"),
        ({"countdown": 1e30}, r"countdown 1e\+30 is no number"),
        ({"queue": "ü" * 21}, "queue that begins 'ü+' is longer than 40 bytes"),
        ({"queue": 5}, "queue 5 is no string"),
        ({"lock": "a\0b"}, "lock .* NUL"),
        ({"queueing_lock": "ü" * 501}, "queueing_lock .* longer than 1000 bytes"),
        ({"queueing_lock": "\ud800"}, "surrogate"),
        ({"priority": 2**31}, "priority 2147483648 is not within 32 bits"),
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
        with pytest.raises(TypeError, match="'schedule_in': the options are countdown, eta"):
            ask(schedule_in={"seconds": 1})  # pyright: ignore[reportCallIssue]


def test_the_longest_options(tasks: TasksManager) -> None:
    """PostgreSQL takes them, also random text, which it cannot compress."""
    key = "".join(random.Random(1).choices(string.ascii_letters, k=1000))
    options: Any = {"queue": "ü" * 20, "lock": key, "queueing_lock": key}
    send_task(sample.noop.name, task_id=key, **options)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert [job["lock"] for job in tasks.succeeded_jobs] == [key]


# locks


@pytest.fixture
def work(make_task: Any, ran: list[Any]) -> Any:
    """A task with a lock that is tried again later, ``again`` times."""

    @make_task(lock="one")
    def work(name: str, again: int = 0) -> None:
        ran.append(name)
        if jobs.running().retries < again:
            work.retry()

    return work


def test_lock_orders_no_job_while_it_waits(work: Any, ran: list[Any], tasks: TasksManager) -> None:
    """A job that is not due blocks no other, even if it comes first once it is due."""
    for name in ("a", "b", "c"):
        work.delay(name, 1)
    tasks.run_pending_jobs(most=3)
    assert ran == ["a", "b", "c"]
    assert [job["status"] for job in tasks.jobs.values()] == ["todo"] * 3
    let_time_pass()
    tasks.run_pending_jobs()
    assert ran[3:] == ["a", "b", "c"]


def test_lock_orders_no_job_while_it_is_put_off(
    work: Any, ran: list[Any], tasks: TasksManager
) -> None:
    work.configure(countdown=3600, priority=5).delay("later")
    work.delay("now")
    tasks.run_pending_jobs()
    assert ran == ["now"]
    work.delay("next")
    let_time_pass()
    tasks.run_pending_jobs()
    assert ran == ["now", "later", "next"]


def test_lock_between_two_steps(make_task: Any, ran: list[Any], tasks: TasksManager) -> None:
    """A job that has begun keeps its lock, also while other jobs run."""

    @make_task(lock="one")
    def work(name: str, steps: int = 3) -> Any:
        ran.append(name)
        return work(name, steps - 1) if steps > 1 else None

    @make_task
    def other() -> None:
        ran.append("other")

    work.delay("a")
    work.configure(priority=5).delay("b")
    tasks.run_pending_jobs(most=1)
    work.configure(priority=9).delay("c")
    other.configure(priority=5).delay()
    tasks.run_pending_jobs()
    assert [name for name in ran if name != "other"] == ["b"] * 3 + ["c"] * 3 + ["a"] * 3
    assert "other" in ran[1:4]


# queueing locks


def ask(lock: str = "one") -> Job:
    return sample.noop.configure(queueing_lock=lock).delay()


def committed(job: Job) -> Job:
    model.Session.commit()
    return job


def seen(job: Job) -> tuple[str, str | None]:
    model.Session.rollback()
    return shown(job).status, shown(job).queueing_lock


@pytest.mark.parametrize("lock", ["one", ""])
def test_queueing_lock(lock: str, effects: Effects, name: str, tasks: TasksManager) -> None:
    """One waits at a time; after a second request the transaction goes on."""
    first = ask(lock)
    effects.write(name)
    for _ in range(2):
        with pytest.raises(AlreadyEnqueuedError, match=lock):
            ask(lock)
    with pytest.raises(AlreadyEnqueuedError, match=lock):
        sample.noop.configure(queueing_lock=lock).batch_defer({}, {})
    ask(f"{lock}-2")
    model.Session.commit()
    assert effects.exists(name)
    assert len(tasks.jobs) == 2
    tasks.run_pending_jobs()
    assert ask(lock).id > first.id


def test_queueing_lock_within_an_action(hooks: Any, name: str, tasks: TasksManager) -> None:
    def ask_twice(*_: Any) -> None:
        ask()
        with pytest.raises(AlreadyEnqueuedError):
            ask()
        sample.effect(name)

    hooks["before:package_create"] = ask_twice
    with count_commits() as commits:
        call("package_create", None, name=name)
    assert len(commits) == 1
    assert jobs.effects_of(name) == [name]
    assert len(tasks.jobs) == 1


def test_queueing_lock_is_kept_while_it_waits(work: Any, tasks: TasksManager) -> None:
    """Also for another try: then it waits, too."""
    one = work.configure(queueing_lock="one")
    job = one.delay("a", 2)
    for _ in range(2):
        tasks.run_pending_jobs()
        assert (shown(job).status, shown(job).queueing_lock) == ("todo", "one")
        with pytest.raises(AlreadyEnqueuedError):
            one.delay("b")
        let_time_pass()
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    one.delay("b")


def claimed(owner: StepOwner) -> tuple[Job, dict[str, Any]]:
    """Return a job that runs."""
    job = committed(ask())
    claim = owner.claim()
    owner.commit()
    return job, claim


def test_another_job_waits_by_now(owner: StepOwner) -> None:
    """Both wait then, and no third one; what went wrong is kept."""
    job, claim = claimed(owner)
    other = committed(ask())
    assert owner.fail(claim, again=True)
    owner.commit()
    assert seen(job) == ("todo", None)
    assert seen(other) == ("todo", "one")
    assert (shown(job).error, shown(job).attempts) == ("E: wrong", 1)
    assert jobs.events_of(job).count("deferred_for_retry") == 1
    with pytest.raises(AlreadyEnqueuedError):
        ask()
    assert {owner.claim()["id"] for _ in range(2)} == {job.id, other.id}


@pytest.mark.parametrize("commits", [True, False])
def test_another_job_is_just_asked_for(owner: StepOwner, commits: bool) -> None:
    """The worker does not wait for that commit: it writes the failure later."""
    job, claim = claimed(owner)
    other = ask()
    with pytest.raises(LockNotAvailable):
        owner.fail(claim, again=True)
    owner.rollback()
    model.Session.commit() if commits else model.Session.rollback()
    assert owner.fail(claim, again=True)
    owner.commit()
    assert seen(job) == ("todo", None if commits else "one")
    if commits:
        assert seen(other) == ("todo", "one")


@pytest.mark.parametrize("another", [True, False])
def test_retry_by_hand(another: bool) -> None:
    """It does not wait for its time, nor for a queueing lock that another job has by now."""
    job = committed(sample.noop.configure(queueing_lock="one", countdown=3600).delay())
    jobs.cancel(job)
    other = committed(ask()) if another else None
    assert jobs.retry(job)
    assert seen(job) == ("todo", None if another else "one")
    assert shown(job).scheduled_at is None
    if other:
        assert seen(other) == ("todo", "one")
    with pytest.raises(AlreadyEnqueuedError):
        ask()
