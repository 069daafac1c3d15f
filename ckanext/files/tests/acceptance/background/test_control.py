"""Jobs that are cancelled and tried again while real workers run them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job, control
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.jobs import (
    S,
    begun,
    cancel,
    cut,
    defer,
    effects_of,
    listener_of,
    retry,
    state,
    wait_for_effect,
    wait_for_heartbeats,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects", "worker")

loaded = load_plugins("files", "files_background")

JOBS, STEPS = 10, 10


@pytest.fixture(scope="module")
def worker(lasting_workers: Workers) -> Worker:
    # it must not take workers for frozen that have no heartbeat
    return lasting_workers.start("-c", "4", "-q", "default", frozen_after=3600)


def test_cancelled_before_it_begins(name: str) -> None:
    job = defer(sample.write.configure(countdown=3600), name)
    assert cancel(job) == "cancelled"
    change(f"UPDATE {S}.procrastinate_jobs SET scheduled_at = now() WHERE id = :id", id=job.id)
    wait_for_job(defer(sample.write, f"after-{name}"))
    assert state(job) == "cancelled"
    assert effects_of(name) == []


@pytest.mark.usefixtures("only_notified")
def test_aborted_by_itself(name: str, workers: Workers) -> None:
    """A task that asks hears of it within its step, which is undone."""
    worker = workers.start("-q", "aborted")
    job = begun(tasks.until_aborted.configure(queue="aborted"), name)
    control.cancel(job.id)
    assert state(job) == "doing"  # for all but this transaction
    model.Session.commit()
    wait_for_job(job, status="aborted")
    assert effects_of(name) == [f"{name}-begun-0"]
    assert worker.running


def test_aborted_after_its_step(worker: Worker, name: str) -> None:
    """A task that does not ask goes on until its step ends."""
    job = defer(tasks.steps, name, 1, 100, 0.2)
    wait_for_effect(f"{name}-0002")
    cancel(job)
    wait_for_job(job, status="aborted")
    done = effects_of(name)
    assert 2 <= len(done) < 100
    assert state(job, "step") == len(done)
    wait_for_heartbeats(worker.id, 3)
    assert effects_of(name) == done


@pytest.mark.usefixtures("only_notified")
@pytest.mark.parametrize("in_sql", [False, True])
def test_interrupted(name: str, workers: Workers, in_sql: bool) -> None:
    """A task that never asks is ended in its step, which is undone; the worker goes on."""
    worker = workers.start("-q", "interrupted")
    job = begun(tasks.endless.configure(queue="interrupted"), name, in_sql)
    assert cancel(job, now=True) == "doing"
    wait_for_job(job, status="aborted")
    assert "JobAborted: The job was cancelled while the step ran" in state(job, "error")
    assert "endless" in state(job, "traceback")
    assert effects_of(name) == effects_of(f"{name}-begun")
    wait_for_job(defer(sample.write.configure(queue="interrupted"), f"{name}-again"))
    assert worker.stop() == 0


def test_interrupt_that_the_task_catches(name: str) -> None:
    """Nothing of the step stays, whatever its task makes of it."""
    job = begun(tasks.catch_all_for_ever, name)
    cancel(job, now=True)
    wait_for_job(job, status="aborted")
    assert effects_of(name) == [f"{name}-begun"]


def test_interrupted_later_and_again(worker: Worker, name: str) -> None:
    """First it was only asked to end. Steps that are done stay, and a retry begins after them."""
    job = defer(tasks.endless_after_a_step, name, 1)
    for times in (1, 2):
        wait_for(lambda times=times: len(effects_of(f"{name}-begun")) == times)
        cancel(job)
        # also the second time: the interrupt of the first one is forgotten
        wait_for_heartbeats(worker.id, 3)
        assert state(job) == "doing"
        cancel(job, now=True)
        wait_for_job(job, status="aborted")
        assert (state(job, "step"), effects_of(f"{name}-1")) == (1, [f"{name}-1"])
        if times == 1:
            assert retry(job)


def until_aborted(name: str, worker: Worker) -> Job:
    """Let the worker begin a job that goes on until it is cancelled."""
    job = begun(tasks.until_aborted.configure(queue="alone"), name)
    assert state(job, "worker_id") == worker.id
    return job


def test_abort_while_the_worker_does_not_listen(workers: Workers, name: str) -> None:
    worker = workers.start("-q", "alone")
    job = until_aborted(name, worker)
    listener = wait_for(lambda: listener_of(worker.id))
    control.cancel(job.id)
    cut([listener])
    model.Session.commit()
    wait_for_job(job, status="aborted")


def test_abort_of_a_job_whose_worker_has_died(workers: Workers, name: str) -> None:
    worker = workers.start("-q", "alone")
    job = until_aborted(name, worker)
    worker.kill()
    assert cancel(job) == "doing"
    worker.start()
    wait_for_job(job, status="aborted")
    assert effects_of(f"{name}-never") == []


def test_notifications_of_others(workers: Workers, name: str) -> None:
    """Every session may notify, such as another Procrastinate in the same database."""
    worker = workers.start("-c", "2", "-q", "alone")
    job = until_aborted(name, worker)
    for payload in ("hello", "[]", "{}", f'{{"type": "abort_job_requested", "job_id": {job.id}}}'):
        for channel in ("procrastinate_any_queue_v1", "procrastinate_queue_v1#alone"):
            change("SELECT pg_notify(:channel, :payload)", channel=channel, payload=payload)
    wait_for_job(defer(sample.write.configure(queue="alone"), name))
    assert worker.running
    assert state(job) == "doing"
    cancel(job)
    wait_for_job(job, status="aborted")


@pytest.mark.usefixtures("only_notified")
def test_a_retry_wakes_a_worker(workers: Workers) -> None:
    """It need not look for the job."""
    workers.start("-q", "retried")
    job = sample.noop.configure(queue="retried").delay()
    cancel(job)
    for _ in range(5):
        assert retry(job)
        wait_for_job(job)
        change(f"UPDATE {S}.procrastinate_jobs SET status = 'failed' WHERE id = :id", id=job.id)


def test_cancelled_and_tried_again_at_random(name: str) -> None:
    """Whatever the workers do at that moment: each step of each job is done once."""
    names: list[str] = []
    became: Counter[Any] = Counter()

    def unfinished() -> list[Job]:
        query = f"SELECT id FROM {S}.procrastinate_jobs WHERE status <> 'succeeded'"
        return [Job(id_) for (id_,) in rows(query)]

    def disturb() -> bool:
        """Cancel a job, and try one again; return whether that met each state often enough."""
        while len(jobs := unfinished()) < JOBS:
            names.append(f"{name}-{len(names)}")
            defer(tasks.steps, names[-1], 1, STEPS, 0.05)
        became[cancel(random.choice(jobs))] += 1
        became["retried"] += retry(random.choice(jobs))
        return all(became[each] >= 3 for each in ("cancelled", "aborted", "doing", "retried"))

    wait_for(disturb)
    wait_for(lambda: not [retry(job) for job in unfinished()])
    done = [f"{each}-{step:04}" for each in names for step in range(1, STEPS + 1)]
    assert sorted(effects_of(name)) == sorted(done)
