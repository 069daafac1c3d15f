"""Which job runs when: queues, times, locks, priorities and turns."""

from __future__ import annotations

import datetime as dt
import time
from itertools import pairwise

import pytest
from ckan import model

from ckanext.files.background import call as registry
from ckanext.files.background import periodic, task
from ckanext.files.background.app import app as procrastinate
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects", "single")

loaded = load_plugins("files", "files_background")

ONE = "one"
"""The queue of a worker that runs one step at a time."""


@pytest.fixture(scope="module")
def single(lasting_workers: Workers) -> Worker:
    """The worker of that queue; there is another one."""
    lasting_workers.start("-c", "4", "-q", "default", "locked")
    return lasting_workers.start("-q", ONE)


def times_of(name: str) -> list[tuple[float, str, str]]:
    """Return when the steps of ``time_steps`` began and ended, and their labels."""
    found = [effect.rsplit("-", 3)[1:] for effect in jobs.effects_of(name)]
    return [(int(ns) / 1e9, what, label) for ns, what, label in found]


def test_deadlock(name: str) -> None:
    """PostgreSQL ends one of two steps that wait for each other; it runs again."""
    key = time.time_ns() % 2**31
    both = [
        tasks.lock_both.delay(f"{name}-1", key, key + 1),
        tasks.lock_both.delay(f"{name}-2", key + 1, key),
    ]
    model.Session.commit()
    jobs.wait_for_job(*both)
    assert jobs.effects_of(name) == [f"{name}-1", f"{name}-2"]
    assert sorted(jobs.state(job, "rescues") or 0 for job in both) == [0, 1]


def test_deadlock_in_a_savepoint(name: str) -> None:
    """If the task catches it, what fails after that is its own, and its error is kept."""
    jobs.wait_for_job(jobs.defer(tasks.deadlock_in_a_savepoint, name, False))
    assert jobs.effects_of(name) == [f"{name}-1"]
    caught = jobs.defer(tasks.deadlock_in_a_savepoint, f"{name}-caught", True)
    jobs.wait_for_job(caught, status="failed")
    assert jobs.state(caught, "error") == "ValueError: something else is wrong"
    assert jobs.state(caught, "attempts") == 1


@pytest.mark.parametrize("arguments", [("-q", "a", "b"), ("-q", "a", "-q", "b"), ("a", "b")])
def test_queues(arguments: tuple[str, ...], workers: Workers, name: str) -> None:
    asked = [sample.write.configure(queue=q).delay(f"{name}-{q}") for q in ("a", "b", "c")]
    model.Session.commit()
    worker = workers.prepare(*arguments, "--no-wait")
    worker.launch()
    assert worker.wait() == 0
    assert [jobs.state(job) for job in asked] == ["succeeded", "succeeded", "todo"]


@pytest.mark.usefixtures("only_notified")
@pytest.mark.parametrize("concurrency", ["1", "4"])
def test_a_job_wakes_a_worker(concurrency: str, workers: Workers, name: str) -> None:
    """It need not look for jobs."""
    workers.start("-q", "told", "-c", concurrency)
    for number in range(5):
        jobs.wait_for_job(jobs.defer(sample.write.configure(queue="told"), f"{name}-{number}"))


@pytest.mark.usefixtures("only_notified")
def test_eta(workers: Workers, name: str) -> None:
    """A worker gets up for a job whose time has come, not before, and for no later one."""
    workers.start("-q", "told")
    jobs.defer(sample.write.configure(countdown=3600, queue="told"), f"{name}-later")
    for seconds in (0.2, 0.7):
        eta = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
        task = tasks.time_steps.configure(eta=eta, queue="told")
        jobs.wait_for_job(jobs.defer(task, f"{name}-{seconds}", "x"))
        assert times_of(f"{name}-{seconds}")[0][0] >= eta.timestamp()


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
    wait_for(lambda: len(jobs.effects_of("tick-")) >= 4)
    found = [effect.split("-")[1:] for effect in jobs.effects_of("tick-")]
    times = [int(timestamp) for timestamp, _ in found]
    ticks = f"FROM {jobs.S}.procrastinate_jobs WHERE task_name LIKE '%tick'"
    deferred = [int(timestamp) for (timestamp,) in rows(f"SELECT args->>'timestamp' {ticks}")]
    assert len(set(deferred)) == len(deferred) >= 4
    assert {later - earlier for earlier, later in pairwise(times)} == {1}
    late = [float(ran) - int(meant) for meant, ran in found]
    assert min(late) >= 0


def test_lock(name: str) -> None:
    """Of the jobs with one lock one runs at a time, in the order asked for; others run beside."""
    free = [jobs.begun(tasks.hold, f"free-{name}-{number}") for number in range(2)]
    locked = tasks.time_steps.configure(lock=name, queue="locked")
    asked = [locked.delay(name, str(number), 3, 0.02) for number in range(8)]
    model.Session.commit()
    jobs.wait_for_job(*asked)
    expected = [(what, str(n)) for n in range(8) for _ in range(3) for what in ("began", "ended")]
    assert [(what, label) for _, what, label in times_of(name)] == expected
    for number, job in enumerate(free):
        assert jobs.state(job) == "doing"
        jobs.let_go(f"free-{name}-{number}")


def test_priority(single: Worker, name: str) -> None:
    """Among jobs of one priority the long ones alternate, and each step runs once."""
    busy = jobs.begun(tasks.hold.configure(queue=ONE), f"busy-{name}")
    asked = [
        tasks.time_steps.configure(queue=ONE, priority=priority).delay(name, label, of)
        for label, priority, of in (("c", 0, 1), ("a", 5, 150), ("d", -5, 1), ("b", 5, 150))
    ]
    model.Session.commit()
    jobs.let_go(f"busy-{name}")
    jobs.wait_for_job(busy, *asked)
    told = "".join(label for _, what, label in times_of(name) if what == "began")
    assert told == "ab" * 150 + "cd"
    # heartbeats saw one of them between two steps again and again
    assert "got lost" not in single.said


def test_long_job_lets_a_short_one_through(name: str) -> None:
    """One step at a time: at the long job's next turn."""
    task, after = tasks.steps.configure(queue=ONE), [20, 150]
    holds = [step for each in after for step in (each, each + 1)]
    long = jobs.defer(task, f"long-{name}", 1, 160, 0, holds)
    for step in after:
        jobs.wait_for_effect(f"long-{name}-{step:04}-holds")
        short = jobs.defer(sample.write.configure(queue=ONE), f"{name}-{step}")
        jobs.let_go(f"long-{name}-{step:04}")
        jobs.wait_for_job(short)  # otherwise the long one holds at its next step
        jobs.let_go(f"long-{name}-{step + 1:04}")
    jobs.wait_for_job(long)
    assert jobs.state(long, "step") == 160
    assert len(jobs.effects_of(f"long-{name}")) == 160 + len(holds)
