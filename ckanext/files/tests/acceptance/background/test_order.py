"""Which job runs when: queues, times, locks, priorities and turns."""

from __future__ import annotations

import datetime as dt
import time
from itertools import pairwise

import pytest
from ckan import model

from ckanext.files.background import AlreadyEnqueuedError, periodic, task
from ckanext.files.background import call as registry
from ckanext.files.background.app import app as procrastinate
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.jobs import (
    S,
    begun,
    defer,
    effects_of,
    let_go,
    state,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.usefixtures("effects", "two_workers")

loaded = load_plugins("files", "files_background")

ONE = "one"
"""The queue of a worker that runs one step at a time."""


@pytest.fixture(scope="module")
def two_workers(lasting_workers: Workers) -> None:
    single = lasting_workers.prepare("-q", ONE)
    other = lasting_workers.prepare("-c", "4", "-q", "default", "locked")
    for worker in (single, other):
        worker.launch()
    for worker in (single, other):
        worker.wait_until_ready()


def written_at(name: str) -> float:
    """Return when a job of ``write_time`` has run, in seconds."""
    [effect] = effects_of(name)
    return int(effect.rpartition("-")[2]) / 1e9


def test_deadlock(name: str) -> None:
    """PostgreSQL ends one of two steps that wait for each other; it runs again."""
    key = time.time_ns() % 2**31
    jobs = [
        tasks.lock_both.delay(f"{name}-1", key, key + 1),
        tasks.lock_both.delay(f"{name}-2", key + 1, key),
    ]
    model.Session.commit()
    wait_for_job(*jobs)
    assert effects_of(name) == [f"{name}-1", f"{name}-2"]
    assert sorted(state(job, "rescues") or 0 for job in jobs) == [0, 1]


def test_deadlock_in_a_savepoint(name: str) -> None:
    wait_for_job(defer(tasks.deadlock_in_a_savepoint, name, False))
    assert effects_of(name) == [f"{name}-1"]


def test_deadlock_that_the_task_catches(name: str) -> None:
    """What fails after that is the task's own, and its error is kept."""
    job = defer(tasks.deadlock_in_a_savepoint, name, True)
    wait_for_job(job, status="failed")
    assert state(job, "error") == "ValueError: something else is wrong"
    assert state(job, "attempts") == 1


@pytest.mark.parametrize("arguments", [("-q", "a", "b"), ("-q", "a", "-q", "b"), ("a", "b")])
def test_queues(arguments: tuple[str, ...], workers: Workers, name: str) -> None:
    jobs = [sample.write.configure(queue=q).delay(f"{name}-{q}") for q in ("a", "b", "c")]
    model.Session.commit()
    worker = workers.prepare(*arguments, "--no-wait")
    worker.launch()
    assert worker.wait() == 0
    assert [state(job) for job in jobs] == ["succeeded", "succeeded", "todo"]


@pytest.mark.usefixtures("only_notified")
@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_a_job_wakes_a_worker(concurrency: str, workers: Workers, name: str) -> None:
    """It need not look for jobs."""
    workers.start("-q", "told", "-c", concurrency)
    for number in range(5):
        wait_for_job(defer(sample.write.configure(queue="told"), f"{name}-{number}"))


@pytest.mark.usefixtures("only_notified")
def test_eta(workers: Workers, name: str) -> None:
    """A worker gets up for a job whose time has come, and not before."""
    workers.start("-q", "told")
    for seconds in (0.2, 0.7):
        eta = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
        task = tasks.write_time.configure(eta=eta, queue="told")
        wait_for_job(defer(task, f"{name}-{seconds}"))
        assert written_at(f"{name}-{seconds}") >= eta.timestamp()


@pytest.mark.usefixtures("only_notified")
def test_countdown_does_not_wait_for_a_later_one(workers: Workers, name: str) -> None:
    workers.start("-q", "told")
    defer(sample.write.configure(countdown=3600, queue="told"), f"{name}-later")
    time.sleep(0.5)  # the worker waits for that time by now
    start = time.time()
    task = tasks.write_time.configure(countdown=0.5, queue="told")
    wait_for_job(defer(task, f"{name}-sooner"))
    assert written_at(f"{name}-sooner") >= start + 0.5


def tick(timestamp: int) -> None:
    sample.effect(f"tick-{timestamp}-{time.time()}")


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are forked now have a task that runs every second."""
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.setattr(procrastinate.periodic_registry, "periodic_tasks", {})
    periodic(cron="* * * * * *")(task(queue="ticks")(tick))


@pytest.mark.usefixtures("ticking")
def test_periodic(workers: Workers) -> None:
    """Two workers, each time once."""
    change("DELETE FROM files_test_effect WHERE name LIKE 'tick-%'")
    workers.start_two("-q", "ticks")
    wait_for(lambda: len(effects_of("tick-")) >= 4)
    found = [effect.split("-")[1:] for effect in effects_of("tick-")]
    times = [int(timestamp) for timestamp, _ in found]
    query = f"SELECT args->>'timestamp' FROM {S}.procrastinate_jobs WHERE task_name LIKE '%tick'"
    deferred = [int(timestamp) for (timestamp,) in rows(query)]
    assert len(set(deferred)) == len(deferred) >= 4
    assert {later - earlier for earlier, later in pairwise(times)} == {1}
    late = [float(ran) - int(meant) for meant, ran in found]
    assert min(late) >= 0


def test_lock(name: str) -> None:
    """Of the jobs with one lock one runs at a time, in the order asked for; others run beside."""
    free = [begun(tasks.hold, f"free-{name}-{number}") for number in range(2)]
    locked = tasks.interval.configure(lock=name, queue="locked")
    jobs = [locked.delay(name, number, 3, 0.02) for number in range(8)]
    model.Session.commit()
    wait_for_job(*jobs)
    told = [tuple(effect[len(name) + 1 :].split("-")[1:]) for effect in effects_of(name)]
    assert told == [
        (what, str(n)) for n in range(8) for _ in range(3) for what in ("begun", "ended")
    ]
    for number, job in enumerate(free):
        assert state(job) == "doing"
        let_go(f"free-{name}-{number}")


def test_queueing_lock(name: str) -> None:
    """Of the jobs with one queueing lock one waits at a time."""
    holding = tasks.hold.configure(queueing_lock=name, queue=ONE)
    waiting = sample.write.configure(queueing_lock=name, queue=ONE)
    first = begun(holding, f"{name}-1")
    second = waiting.delay(f"{name}-2")  # the first one does not wait any more
    with pytest.raises(AlreadyEnqueuedError):
        waiting.delay(f"{name}-3")
    model.Session.commit()
    let_go(f"{name}-1")
    wait_for_job(first, second)
    wait_for_job(defer(waiting, f"{name}-3"))


def test_priority(name: str) -> None:
    busy = begun(tasks.hold.configure(queue=ONE), f"busy-{name}")
    jobs = [
        tasks.take_turns.configure(queue=ONE, priority=priority).delay(name, str(priority), 1, 1)
        for priority in (0, 5, -5, 10, 5, 0)
    ]
    model.Session.commit()
    let_go(f"busy-{name}")
    wait_for_job(busy, *jobs)
    told = [int(effect[len(name) + 1 :].split("-", 1)[1]) for effect in effects_of(name)]
    assert told == [10, 5, 5, 0, 0, -5]


def test_long_job_lets_a_short_one_through(name: str) -> None:
    """One step at a time: at the long job's next turn."""
    holds = [20, 150, 299]
    task = tasks.steps_with_a_hold.configure(queue=ONE)
    long = defer(task, f"long-{name}", 1, 300, holds)
    for step in holds:
        wait_for_effect(f"long-{name}-{step:04}")
        short = defer(tasks.write_steps_of.configure(queue=ONE), f"{name}-{step}", long.id)
        let_go(f"long-{name}-{step:04}")
        wait_for_job(short)
        assert effects_of(f"{name}-{step}-") == [f"{name}-{step}-{step}"]
    wait_for_job(long)
    assert state(long, "step") == 300
    assert len(effects_of(f"long-{name}")) == 300


def test_long_jobs_alternate(name: str) -> None:
    jobs = [tasks.take_turns.configure(queue=ONE).delay(name, each, 1, 30) for each in "ab"]
    model.Session.commit()
    wait_for_job(*jobs)
    assert "".join(effect[-1] for effect in effects_of(name)) == "ab" * 30
