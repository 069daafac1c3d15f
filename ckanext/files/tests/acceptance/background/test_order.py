"""Which job runs when: queues, times, locks, priorities and turns."""

from __future__ import annotations

import datetime as dt
import time
from itertools import pairwise
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import AlreadyEnqueuedError
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.jobs import (
    S,
    change,
    effects_of,
    let_go,
    rows,
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


def seconds_of(effect: str, place: int = -1) -> float:
    """Return the time in the name of an effect, in seconds."""
    return int(effect.split("-")[place]) / 1e9


def test_deadlock(unique: Any) -> None:
    """PostgreSQL ends one of two steps that wait for each other; it runs again."""
    name, key = unique("job"), time.time_ns() % 2**31
    jobs = [
        tasks.lock_both.delay(f"{name}-1", key, key + 1),
        tasks.lock_both.delay(f"{name}-2", key + 1, key),
    ]
    model.Session.commit()
    for job in jobs:
        wait_for_job(job)
    assert effects_of(name) == [f"{name}-1", f"{name}-2"]
    assert sorted(state(job, "rescues") or 0 for job in jobs) == [0, 1]


def test_deadlock_in_a_savepoint(unique: Any) -> None:
    name = unique("job")
    job = tasks.deadlock_in_a_savepoint.delay(name, False)
    model.Session.commit()
    wait_for_job(job)
    assert effects_of(name) == [f"{name}-1"]


def test_deadlock_that_the_task_catches(unique: Any) -> None:
    """What fails after that is the task's own, and its error is kept."""
    job = tasks.deadlock_in_a_savepoint.delay(unique("job"), True)
    model.Session.commit()
    wait_for_job(job, "failed")
    assert state(job, "error") == "ValueError: something else is wrong"
    assert state(job, "attempts") == 1


@pytest.mark.parametrize("arguments", [("-q", "a", "b"), ("-q", "a", "-q", "b"), ("a", "b")])
def test_queues(arguments: tuple[str, ...], workers: Workers, unique: Any) -> None:
    name = unique("job")
    jobs = [sample.write.configure(queue=q).delay(f"{name}-{q}") for q in ("a", "b", "c")]
    model.Session.commit()
    worker = workers.prepare(*arguments, "--no-wait")
    worker.launch()
    assert worker.wait() == 0
    assert [state(job) for job in jobs] == ["succeeded", "succeeded", "todo"]


@pytest.mark.usefixtures("seldom_looking")
@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_a_job_wakes_a_worker(concurrency: str, workers: Workers, unique: Any) -> None:
    """It need not look for jobs."""
    workers.start("-q", "told", "-c", concurrency)
    for _ in range(5):
        job = sample.write.configure(queue="told").delay(unique("job"))
        model.Session.commit()
        wait_for_job(job)


@pytest.mark.usefixtures("seldom_looking")
def test_eta(workers: Workers, unique: Any) -> None:
    """A worker gets up for a job whose time has come, and not before."""
    workers.start("-q", "told")
    for seconds in (0.2, 0.7):
        name = unique("job")
        eta = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
        job = tasks.write_time.configure(eta=eta, queue="told").delay(name)
        model.Session.commit()
        wait_for_job(job)
        assert seconds_of(effects_of(name)[0]) >= eta.timestamp()


@pytest.mark.usefixtures("seldom_looking")
def test_countdown_does_not_wait_for_a_later_one(workers: Workers, unique: Any) -> None:
    workers.start("-q", "told")
    name = unique("job")
    sample.write.configure(countdown=3600, queue="told").delay(f"{name}-later")
    model.Session.commit()
    time.sleep(0.5)
    start = time.time()
    sooner = tasks.write_time.configure(countdown=0.5, queue="told").delay(f"{name}-sooner")
    model.Session.commit()
    wait_for_job(sooner)
    assert seconds_of(effects_of(f"{name}-sooner")[0]) >= start + 0.5


def test_periodic(commands: Workers) -> None:
    """Two workers, each time once."""
    change("DELETE FROM files_test_effect WHERE name LIKE 'tick-%'")
    module = "ckanext.files.tests.support.periodic_tasks"
    commands.start_two("-q", "ticks", task_modules=module)
    wait_for(lambda: len(effects_of("tick-")) >= 4)
    found = [effect.split("-")[1:] for effect in effects_of("tick-")]
    times = [int(timestamp) for timestamp, _ in found]
    query = f"SELECT args->>'timestamp' FROM {S}.procrastinate_jobs WHERE task_name LIKE '%tick'"
    deferred = [int(timestamp) for (timestamp,) in rows(query)]
    assert len(set(deferred)) == len(deferred) >= 4
    assert {later - earlier for earlier, later in pairwise(times)} == {2}
    late = [float(ran) - int(meant) for meant, ran in found]
    assert min(late) >= 0


def test_lock(unique: Any) -> None:
    """Of the jobs with one lock one runs at a time, in the order asked for; others run beside."""
    name = unique("job")
    locked = tasks.interval.configure(lock=name, queue="locked")
    jobs = [locked.delay(name, number, 3, 0.05) for number in range(8)]
    free = [tasks.interval.delay(f"free-{name}", number, 3, 0.05) for number in range(8)]
    model.Session.commit()
    for job in [*jobs, *free]:
        wait_for_job(job)
    told = [tuple(effect[len(name) + 1 :].split("-")[1:]) for effect in effects_of(name)]
    assert told == [
        (what, str(n)) for n in range(8) for _ in range(3) for what in ("begun", "ended")
    ]
    told = [effect.split("-")[-2] for effect in effects_of(f"free-{name}")]
    assert told != ["begun", "ended"] * 24


def test_queueing_lock(unique: Any) -> None:
    """Of the jobs with one queueing lock one waits at a time."""
    name = unique("job")
    holding = tasks.hold.configure(queueing_lock=name, queue=ONE)
    waiting = sample.write.configure(queueing_lock=name, queue=ONE)
    first = holding.delay(f"{name}-1")
    model.Session.commit()
    wait_for_effect(f"{name}-1-begun")
    second = waiting.delay(f"{name}-2")  # the first one does not wait any more
    with pytest.raises(AlreadyEnqueuedError):
        waiting.delay(f"{name}-3")
    model.Session.commit()
    let_go(f"{name}-1")
    wait_for_job(first)
    wait_for_job(second)
    third = waiting.delay(f"{name}-3")
    model.Session.commit()
    wait_for_job(third)


def test_priority(unique: Any) -> None:
    name = unique("job")
    busy = tasks.hold.configure(queue=ONE).delay(f"busy-{name}")
    model.Session.commit()
    wait_for_effect(f"busy-{name}-begun")
    jobs = [
        tasks.take_turns.configure(queue=ONE, priority=priority).delay(name, str(priority), 1, 1)
        for priority in (0, 5, -5, 10, 5, 0)
    ]
    model.Session.commit()
    let_go(f"busy-{name}")
    for job in [busy, *jobs]:
        wait_for_job(job)
    told = [int(effect[len(name) + 1 :].split("-", 1)[1]) for effect in effects_of(name)]
    assert told == [10, 5, 5, 0, 0, -5]


def test_long_job_lets_a_short_one_through(unique: Any) -> None:
    """One step at a time: at the long job's next turn."""
    name, holds = unique("job"), [20, 500, 999]
    task = tasks.steps_with_a_hold.configure(queue=ONE)
    long = task.delay(f"long-{name}", 1, 1000, holds)
    model.Session.commit()
    for step in holds:
        wait_for_effect(f"long-{name}-{step:04}")
        short = tasks.write_steps_of.configure(queue=ONE).delay(f"{name}-{step}", long.id)
        model.Session.commit()
        let_go(f"long-{name}-{step:04}")
        wait_for_job(short)
        assert effects_of(f"{name}-{step}-") == [f"{name}-{step}-{step}"]
    wait_for_job(long)
    assert state(long, "step") == 1000
    assert len(effects_of(f"long-{name}")) == 1000


def test_long_jobs_alternate(unique: Any) -> None:
    name = unique("job")
    jobs = [tasks.take_turns.configure(queue=ONE).delay(name, each, 1, 100) for each in "ab"]
    model.Session.commit()
    for job in jobs:
        wait_for_job(job)
    assert "".join(effect[-1] for effect in effects_of(name)) == "ab" * 100
