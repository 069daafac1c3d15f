"""Steps that end otherwise than they should: too late, aborted, unknown; what a worker tells."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import control, send_task
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.jobs import (
    S,
    change,
    effects_of,
    events_of,
    let_go,
    state,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects", "worker")

loaded = load_plugins("files", "files_background")


@pytest.fixture(scope="module")
def worker(lasting_workers: Workers) -> Worker:
    return lasting_workers.start("-c", "4", "-q", "default")


def failed(task: Any, *arguments: Any) -> str:
    """Run a job that must fail by its timeout; return the error that was kept."""
    start = time.monotonic()
    job = task.delay(*arguments)
    model.Session.commit()
    wait_for_job(job, "failed")
    assert time.monotonic() - start >= 0.5
    assert state(job, "traceback")
    return state(job, "error")


@pytest.mark.parametrize("task", [tasks.busy, tasks.asleep_in_sql])
def test_timeout(task: Any, unique: Any) -> None:
    name = unique("job")
    assert "StepTimeout: The step took longer than 0.5 seconds" in failed(task, name)
    assert effects_of(name) == []


def test_timeout_while_it_sleeps(unique: Any) -> None:
    """Python code that waits elsewhere is interrupted when it is back."""
    name = unique("job")
    error = failed(tasks.asleep, name, 1.5)
    assert "StepTimeout: The step took longer than 0.5 seconds" in error
    assert effects_of(name) == []


def test_interrupt_that_the_task_catches(unique: Any) -> None:
    """Nothing of the step stays, whatever its task makes of it."""
    name = unique("job")
    assert "StepTimeout" in failed(tasks.catch_all, name)
    cancelled = tasks.catch_all_for_ever.delay(f"{name}-cancelled")
    model.Session.commit()
    wait_for_effect(f"{name}-cancelled-begun")
    control.cancel(cancelled.id, now=True)
    model.Session.commit()
    wait_for_job(cancelled, "aborted")
    assert all("-begun" in effect for effect in effects_of(name))


@pytest.mark.parametrize("task", [tasks.out_of_reach, tasks.stubborn])
def test_step_that_cannot_be_interrupted(
    task: Any, unique: Any, workers: Workers, tmp_path: Path
) -> None:
    """It is given up, and commits nothing; the worker has its slot back."""
    name, pipe = unique("job"), tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = workers.start("-q", "alone")
    used, start = worker.cpu_seconds, time.monotonic()
    error = failed(task.configure(queue="alone"), name, str(pipe))
    assert "could not be interrupted" in error
    # it has waited, not spun
    assert worker.cpu_seconds - used < (time.monotonic() - start) / 2
    again = sample.write.configure(queue="alone").delay(f"{name}-again")
    model.Session.commit()
    wait_for_job(again)
    assert effects_of(name) == [f"{name}-again"]
    if task is tasks.stubborn:
        pipe.with_suffix(".end").touch()
    else:
        pipe.write_text("")
    wait_for_effect(f"{name}-back")
    assert worker.stop() == 0  # it waits for no thread that it has given up
    assert effects_of(name) == [f"{name}-again", f"{name}-back"]


def test_timeouts_hit_nobody_else(unique: Any, full_size: bool) -> None:
    """Whatever the next step on a connection does when the one before was just interrupted."""
    name = unique("job")
    late, others = [], []
    for number in range(400 if full_size else 20):
        late.append(tasks.soon_too_late.delay(f"{name}-late-{number}", bool(number % 2)))
        each = ({"name": f"{name}-{number}-{n}", "left": 2} for n in range(10))
        others += tasks.in_sql_all_the_time.batch_defer(*each)
    model.Session.commit()
    for job in late:
        wait_for_job(job, "failed")
        assert "The step took longer than 0.02 seconds" in state(job, "error")
    for job in others:
        wait_for_job(job)
    assert len(effects_of(name)) == 3 * len(others)


def test_callbacks_are_no_part_of_the_step(unique: Any, workers: Workers) -> None:
    """They may take longer than it; other jobs run meanwhile."""
    name = unique("job")
    worker = workers.start("-q", "alone")
    job = tasks.hold_in_a_callback.configure(queue="alone").delay(name)
    waiting = sample.write.configure(queue="alone").delay(f"{name}-next")
    model.Session.commit()
    wait_for_job(job)
    wait_for_job(waiting)
    assert events_of(waiting) == ["deferred", "started", "succeeded"]
    wait_for(lambda: "its callbacks of on_commit take long" in worker.said)
    let_go(name)
    wait_for_effect(f"{name}-ended")
    assert "ERROR" not in worker.said
    assert "got lost" not in worker.said


def test_timeout_of_all_tasks(workers: Workers, unique: Any) -> None:
    name = unique("job")
    workers.start("-q", "impatient", timeout=2)
    slow = tasks.until_aborted.configure(queue="impatient").delay(f"{name}-slow")
    quick = sample.write.configure(queue="impatient").delay(f"{name}-quick")
    model.Session.commit()
    wait_for_job(slow, "failed")
    wait_for_job(quick)
    assert state(slow, "error").endswith("The step took longer than 2 seconds")
    assert effects_of(f"{name}-slow-never") == []


@pytest.mark.usefixtures("seldom_looking")
def test_aborted_by_itself(unique: Any, workers: Workers) -> None:
    """A task that asks hears of it within its step, which is undone."""
    name = unique("job")
    workers.start("-q", "aborted")
    job = tasks.until_aborted.configure(queue="aborted").delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    control.cancel(job.id)
    time.sleep(0.2)
    assert state(job) == "doing"
    model.Session.commit()
    wait_for_job(job, "aborted")
    assert effects_of(name) == [f"{name}-begun-0"]


def test_aborted_after_its_step(unique: Any) -> None:
    """A task that does not ask goes on until its step ends."""
    name = unique("job")
    job = tasks.steps.delay(name, 1, 100, 0.2)
    model.Session.commit()
    wait_for_effect(f"{name}-0002")
    control.cancel(job.id)
    model.Session.commit()
    wait_for_job(job, "aborted")
    done = effects_of(name)
    assert 2 <= len(done) < 100
    assert state(job, "step") == len(done)
    time.sleep(0.5)
    assert effects_of(name) == done


@pytest.mark.usefixtures("seldom_looking")
@pytest.mark.parametrize("in_sql", [False, True])
def test_interrupted(unique: Any, workers: Workers, in_sql: bool) -> None:
    """A task that never asks is ended in its step, which is undone; the worker goes on."""
    name = unique("job")
    worker = workers.start("-q", "interrupted")
    job = tasks.endless.configure(queue="interrupted").delay(name, in_sql)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    assert control.cancel(job.id, now=True) == "doing"
    model.Session.commit()
    wait_for_job(job, "aborted")
    assert "JobAborted: The job was cancelled while the step ran" in state(job, "error")
    assert "endless" in state(job, "traceback")
    assert effects_of(name) == effects_of(f"{name}-begun")
    again = sample.write.configure(queue="interrupted").delay(f"{name}-again")
    model.Session.commit()
    wait_for_job(again)
    assert worker.stop() == 0


def test_interrupted_after_it_was_only_asked_to_end(unique: Any) -> None:
    """Steps that are done stay; a retry begins with the one that was interrupted."""
    name = unique("job")
    job = tasks.endless_after_a_step.delay(name, 1)
    model.Session.commit()
    for times in (1, 2):
        wait_for(lambda times=times: len(effects_of(f"{name}-begun")) == times)
        control.cancel(job.id)
        model.Session.commit()
        time.sleep(0.2)
        assert state(job) == "doing"
        control.cancel(job.id, now=True)
        model.Session.commit()
        wait_for_job(job, "aborted")
        assert (state(job, "step"), effects_of(f"{name}-1")) == (1, [f"{name}-1"])
        if times == 1:
            control.retry(job.id)
            model.Session.commit()


def test_retry_of_what_was_interrupted_is_not(unique: Any) -> None:
    """To ask it to end is then no more than that."""
    name = unique("job")
    job = tasks.endless_after_a_step.delay(name, 1)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    control.cancel(job.id, now=True)
    model.Session.commit()
    wait_for_job(job, "aborted")
    control.retry(job.id)
    model.Session.commit()
    wait_for(lambda: len(effects_of(f"{name}-begun")) == 2)
    control.cancel(job.id)
    model.Session.commit()
    time.sleep(1.5)
    assert state(job) == "doing"
    control.cancel(job.id, now=True)
    model.Session.commit()
    wait_for_job(job, "aborted")


def test_cancelled_step_that_cannot_be_interrupted(
    unique: Any, workers: Workers, tmp_path: Path
) -> None:
    name, pipe = unique("job"), tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = workers.start("-q", "alone")
    job = tasks.out_of_reach_for_ever.configure(queue="alone").delay(name, str(pipe))
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    control.cancel(job.id, now=True)
    model.Session.commit()
    wait_for_job(job, "aborted")
    assert "while the step ran and could not be interrupted" in state(job, "error")
    pipe.write_text("")
    wait_for_effect(f"{name}-back")
    assert worker.stop() == 0
    assert effects_of(name) == [f"{name}-back", f"{name}-begun"]


def test_aborted_before_it_begins(unique: Any) -> None:
    name = unique("job")
    job = sample.write.configure(countdown=3600).delay(name)
    model.Session.commit()
    control.cancel(job.id)
    model.Session.commit()
    change(f"UPDATE {S}.procrastinate_jobs SET scheduled_at = now() WHERE id = :id", id=job.id)
    after = sample.write.delay(f"after-{name}")
    model.Session.commit()
    wait_for_job(after)
    assert state(job) == "cancelled"
    assert effects_of(name) == []


def test_unknown_task(unique: Any, worker: Worker) -> None:
    name = unique("job")
    job = send_task("ckanext.gone.tasks.tidy", [1])
    misspelt = send_task(sample.write.name + "_", [name])
    misfit = send_task("sample.write.of.old", [name])
    after = sample.write.delay(name)
    model.Session.commit()
    wait_for_job(job, "failed")
    assert "UnknownTaskError: There is no task ckanext.gone.tasks.tidy" in state(job, "error")
    wait_for_job(misspelt, "failed")
    assert f"Did you mean {sample.write.name}?" in state(misspelt, "error")
    wait_for_job(misfit, "failed")
    wait_for_job(after)
    assert worker.running


def test_async_tasks(unique: Any) -> None:
    """At the same time, each with a session of its own."""
    name = unique("job")
    jobs = [tasks.meet_async.delay(name, number, 4, number == 2) for number in range(4)]
    model.Session.commit()
    for number, job in enumerate(jobs):
        wait_for_job(job, "failed" if number == 2 else "succeeded")
    connections = {effect.split("-")[-1] for effect in effects_of(f"{name}-begun-")}
    assert len(connections) == 4
    assert effects_of(f"{name}-wrote-") == [f"{name}-wrote-{number}" for number in (0, 1, 3)]


def test_progress_is_seen_while_the_step_runs(unique: Any) -> None:
    name = unique("job")
    job = tasks.progress_by_and_by.delay(name)
    model.Session.commit()
    for percent in (25, 50, 75):
        wait_for(lambda percent=percent: state(job, "percent") == percent)
        assert state(job, "text") == f"{name}: {percent} of 100"
        assert state(job) == "doing"
        let_go(f"{name}-{percent}")
    wait_for_job(job)
    assert state(job, "percent") == 100


def test_tasks_are_listed_at_start(worker: Worker) -> None:
    listed = worker.said.split("Tasks loaded:\n")[1].splitlines()
    names = [line.strip() for line in listed if line.startswith("  ")]
    assert sample.write.name in names
    assert tasks.work.name in names
    assert "ckanext.files.chain" in names


def test_print(worker: Worker, unique: Any) -> None:
    """It can be read while the worker goes on, not only when it ends."""
    text = f"hello {unique('world')}!"
    job = tasks.say.delay(text)
    model.Session.commit()
    wait_for_job(job)
    wait_for(lambda: f"{text}\n" in worker.said)
