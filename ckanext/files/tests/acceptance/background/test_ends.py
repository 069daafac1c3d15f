"""Steps that end otherwise than they should, and jobs that are cancelled."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job, control, send_task
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects", "worker")

loaded = load_plugins("files", "files_background")


@pytest.fixture(scope="module")
def worker(lasting_workers: Workers) -> Worker:
    # it must not take workers for frozen that have no heartbeat
    return lasting_workers.start("-c", "4", "-q", "default", frozen_after=3600)


# timeouts


@pytest.fixture(scope="module")
def impatient(lasting_workers: Workers) -> None:
    lasting_workers.start("-q", "impatient", timeout=0.5, frozen_after=3600)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["Python", "SQL", "sleep", "caught"])
def test_timeout(where: str, name: str) -> None:
    """In any code, also if that catches the interrupt; a wait elsewhere ends first."""
    start = time.monotonic()
    job = jobs.begun(tasks.endless.configure(queue="impatient"), name, where)
    jobs.wait_for_job(job, status="failed")
    assert time.monotonic() - start >= 0.5
    assert "StepTimeout: The step took longer than 0.5 seconds" in jobs.state(job, "error")
    assert jobs.state(job, "traceback")
    assert jobs.effects_of(name) == jobs.effects_of(f"{name}-begun")


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize(("catches", "cancels"), [(False, False), (True, False), (False, True)])
def test_step_that_cannot_be_interrupted(
    catches: bool, cancels: bool, name: str, workers: Workers, tmp_path: Path
) -> None:
    """It is given up, and commits nothing; the worker has its slot back."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = workers.start("-q", "alone", timeout=0 if cancels else 0.5)
    used, start = worker.cpu_seconds, time.monotonic()
    job = jobs.begun(tasks.stuck.configure(queue="alone"), name, str(pipe), catches)
    if cancels:
        jobs.cancel(job, now=True)
    jobs.wait_for_job(job, status="aborted" if cancels else "failed")
    assert "could not be interrupted" in jobs.state(job, "error")
    assert ("was cancelled while the step ran" in jobs.state(job, "error")) == cancels
    # it has waited, not spun
    assert worker.cpu_seconds - used < (time.monotonic() - start) / 2
    jobs.wait_for_job(jobs.defer(sample.write.configure(queue="alone"), f"{name}-again"))
    assert jobs.effects_of(name) == [f"{name}-again", f"{name}-begun"]
    pipe.unlink() if catches else pipe.write_text("")
    jobs.wait_for_effect(f"{name}-back")
    assert worker.stop() == 0  # it waits for no thread that it has given up
    assert jobs.effects_of(name) == [f"{name}-again", f"{name}-back", f"{name}-begun"]


def test_timeouts_hit_no_other_job(name: str, full_size: bool) -> None:
    """Whatever the next step on a connection does when the one before was just interrupted."""
    late, others = [], []
    for number in range(400 if full_size else 8):
        late.append(tasks.soon_too_late.delay(f"{name}-late-{number}", bool(number % 2)))
        each = ({"name": f"{name}-{number}-{n}", "left": 2} for n in range(10))
        others += tasks.in_sql_all_the_time.batch_defer(*each)
    model.Session.commit()
    jobs.wait_for_job(*late, status="failed")
    for job in late:
        assert "The step took longer than 0.02 seconds" in jobs.state(job, "error")
    jobs.wait_for_job(*others)
    assert len(jobs.effects_of(name)) == 3 * len(others)


@pytest.mark.usefixtures("short_grace")
def test_callbacks_are_no_part_of_the_step(name: str, workers: Workers) -> None:
    """They may take longer than it; other jobs run meanwhile."""
    worker = workers.start("-q", "alone", timeout=0.1)
    job = jobs.defer(tasks.hold_in_a_callback.configure(queue="alone"), name)
    waiting = jobs.defer(sample.write.configure(queue="alone"), f"{name}-next")
    jobs.wait_for_job(job, waiting)
    assert jobs.events_of(waiting) == ["deferred", "started", "succeeded"]
    wait_for(lambda: "its callbacks of on_commit take long" in worker.said)
    jobs.let_go(name)
    jobs.wait_for_effect(f"{name}-ended")
    assert "ERROR" not in worker.said
    assert "got lost" not in worker.said


# cancelled jobs


@pytest.mark.usefixtures("only_notified")
def test_aborted_by_itself(name: str, workers: Workers) -> None:
    """A task that asks hears of it within its step, which is undone: one line of the log."""
    worker = workers.start("-q", "aborted")
    job = jobs.begun(tasks.until_aborted.configure(queue="aborted"), name)
    control.cancel(job.id)
    assert jobs.state(job) == "doing"  # for all but this transaction
    model.Session.commit()
    jobs.wait_for_job(job, status="aborted")
    assert jobs.effects_of(name) == [f"{name}-begun-0"]
    assert worker.running
    [line] = worker.logged
    assert f"Job {job.id}: {tasks.until_aborted.name}(name='{name}') is aborted, after " in line


def test_aborted_after_its_step(worker: Worker, name: str) -> None:
    """A task that does not ask goes on until its step ends."""
    job = jobs.defer(tasks.steps, name, 1, 100, 0.2)
    jobs.wait_for_effect(f"{name}-0002")
    jobs.cancel(job)
    jobs.wait_for_job(job, status="aborted")
    done = jobs.effects_of(name)
    assert 2 <= len(done) < 100
    assert jobs.state(job, "step") == len(done)
    jobs.wait_for_heartbeats(worker.id, 3)
    assert jobs.effects_of(name) == done


@pytest.mark.usefixtures("only_notified")
@pytest.mark.parametrize("where", ["Python", "SQL", "caught"])
def test_interrupted(name: str, workers: Workers, where: str) -> None:
    """A task that never asks is ended in its step, which is undone; the worker goes on."""
    worker = workers.start("-q", "interrupted")
    job = jobs.begun(tasks.endless.configure(queue="interrupted"), name, where)
    assert jobs.cancel(job, now=True) == "doing"
    jobs.wait_for_job(job, status="aborted")
    assert "JobAborted: The job was cancelled while the step ran" in jobs.state(job, "error")
    assert where == "caught" or "endless" in jobs.state(job, "traceback")
    assert jobs.effects_of(name) == jobs.effects_of(f"{name}-begun")
    jobs.wait_for_job(jobs.defer(sample.write.configure(queue="interrupted"), f"{name}-again"))
    assert worker.stop() == 0


def test_interrupted_later_and_again(worker: Worker, name: str) -> None:
    """First it was only asked to end. Steps that are done stay, and a retry begins after them."""
    job = jobs.defer(tasks.endless, name, "Python", 1)
    for times in (1, 2):
        wait_for(lambda times=times: len(jobs.effects_of(f"{name}-begun")) == times)
        jobs.cancel(job)
        # also the second time: the interrupt of the first one is forgotten
        jobs.wait_for_heartbeats(worker.id, 3)
        assert jobs.state(job) == "doing"
        jobs.cancel(job, now=True)
        jobs.wait_for_job(job, status="aborted")
        assert (jobs.state(job, "step"), jobs.effects_of(f"{name}-1")) == (1, [f"{name}-1"])
        if times == 1:
            assert jobs.retry(job)


def test_abort_while_the_worker_does_not_listen(workers: Workers, name: str) -> None:
    worker = workers.start("-q", "alone")
    job = jobs.begun(tasks.until_aborted.configure(queue="alone"), name)
    listener = wait_for(lambda: jobs.listener_of(worker.id))
    control.cancel(job.id)
    jobs.cut([listener])
    model.Session.commit()
    jobs.wait_for_job(job, status="aborted")


def test_notifications_of_others(workers: Workers, name: str) -> None:
    """Every session may notify, such as another Procrastinate in the same database."""
    worker = workers.start("-c", "2", "-q", "alone")
    job = jobs.begun(tasks.until_aborted.configure(queue="alone"), name)
    for payload in ("hello", "[]", "{}", f'{{"type": "abort_job_requested", "job_id": {job.id}}}'):
        for channel in ("procrastinate_any_queue_v1", "procrastinate_queue_v1#alone"):
            change("SELECT pg_notify(:channel, :payload)", channel=channel, payload=payload)
    jobs.wait_for_job(jobs.defer(sample.write.configure(queue="alone"), name))
    assert worker.running
    assert jobs.state(job) == "doing"
    jobs.cancel(job)
    jobs.wait_for_job(job, status="aborted")


def test_cancelled_and_tried_again_at_random(name: str) -> None:
    """Whatever the workers do at that moment: each step of each job is done once."""
    names: list[str] = []
    became: Counter[Any] = Counter()

    def unfinished() -> list[Job]:
        query = f"SELECT id FROM {jobs.S}.procrastinate_jobs WHERE status <> 'succeeded'"
        return [Job(id_) for (id_,) in rows(query)]

    def disturb() -> bool:
        """Cancel a job, and try one again; return whether that met each state often enough."""
        while len(found := unfinished()) < 10:
            names.append(f"{name}-{len(names)}")
            jobs.defer(tasks.steps, names[-1], 1, 10, 0.05)
        became[jobs.cancel(random.choice(found))] += 1
        became["retried"] += jobs.retry(random.choice(found))
        return all(became[each] >= 3 for each in ("cancelled", "aborted", "doing", "retried"))

    wait_for(disturb)
    wait_for(lambda: not [jobs.retry(job) for job in unfinished()])
    done = [f"{each}-{step:04}" for each in names for step in range(1, 11)]
    assert sorted(jobs.effects_of(name)) == sorted(done)


# tasks of all sorts


def test_unknown_task(name: str, worker: Worker) -> None:
    job = send_task("ckanext.gone.tasks.tidy", [1])
    misspelt = send_task(sample.write.name + "_", [name])
    misfit = send_task("sample.write.of.old", [name])
    after = jobs.defer(sample.write, name)
    jobs.wait_for_job(job, misspelt, misfit, status="failed")
    assert "UnknownTaskError: There is no task ckanext.gone.tasks.tidy" in jobs.state(job, "error")
    assert f"Did you mean {sample.write.name}?" in jobs.state(misspelt, "error")
    jobs.wait_for_job(after)
    assert worker.running


def test_error_that_cannot_be_kept(worker: Worker, name: str) -> None:
    """The job fails, and not one worker after the other."""
    jobs.wait_for_job(jobs.defer(tasks.fail_oddly, name), status="failed")
    assert worker.running


def test_async_tasks(name: str) -> None:
    """At the same time, each with a session of its own."""
    met = [jobs.defer(tasks.meet_async, name, number, 4, number == 2) for number in range(4)]
    for number, job in enumerate(met):
        jobs.wait_for_job(job, status="failed" if number == 2 else "succeeded")
    connections = {effect.split("-")[-1] for effect in jobs.effects_of(f"{name}-begun-")}
    assert len(connections) == 4
    assert jobs.effects_of(f"{name}-wrote-") == [f"{name}-wrote-{number}" for number in (0, 1, 3)]


def test_progress_is_seen_while_the_step_runs(worker: Worker, name: str) -> None:
    """Once the row is free: a transaction that holds it for long keeps no worker from its beats."""
    job = jobs.defer(tasks.progress_by_and_by, name)

    def is_seen(percent: int) -> None:
        wait_for(lambda: jobs.state(job, "percent") == percent)
        assert jobs.state(job, "text") == f"{name}: {percent} of 100"
        assert jobs.state(job) == "doing"

    is_seen(25)
    with jobs.locked_by_us(job):
        jobs.let_go(f"{name}-25")
        jobs.wait_for_heartbeats(worker.id, 3)
        is_seen(25)
    for percent in (50, 75):
        is_seen(percent)
        jobs.let_go(f"{name}-{percent}")
    jobs.wait_for_job(job)
    assert jobs.state(job, "percent") == 100


def test_tasks_are_listed_at_start(worker: Worker) -> None:
    listed = worker.said.split("Tasks loaded:\n")[1].splitlines()
    names = [line.strip() for line in listed if line.startswith("  ")]
    assert {sample.write.name, tasks.hold.name, "ckanext.files.chain"} <= set(names)


def test_print(worker: Worker, unique: Callable[[str], str]) -> None:
    """It can be read while the worker goes on, not only when it ends."""
    text = f"hello {unique('world')}!"
    jobs.wait_for_job(jobs.defer(tasks.say, text))
    wait_for(lambda: f"{text}\n" in worker.said)
