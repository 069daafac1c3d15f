"""Steps that end otherwise than they should: too late, aborted, unknown; what a worker tells."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import control, send_task
from ckanext.files.tests.acceptance.background import tasks
from ckanext.files.tests.acceptance.background.jobs import (
    effects_of,
    state,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.acceptance.background.workers import Worker, Workers, wait_for
from ckanext.files.tests.background import sample
from ckanext.files.tests.loaded import load_plugins

pytestmark = pytest.mark.usefixtures("effects", "worker")

loaded = load_plugins("files", "files_background")


@pytest.fixture(scope="module")
def worker(lasting_workers: Workers) -> Worker:
    return lasting_workers.start("-c", "4", "-q", "default")


def fails_within(seconds: float, task: Any, *arguments: Any) -> str:
    """Run a job that must fail; return the error that was kept."""
    start = time.monotonic()
    job = task.delay(*arguments)
    model.Session.commit()
    wait_for_job(job, "failed")
    took = time.monotonic() - start
    assert 0.5 <= took < seconds
    assert state(job, "traceback")
    return state(job, "error")


@pytest.mark.parametrize("task", [tasks.busy, tasks.asleep_in_sql])
def test_timeout(task: Any, unique: Any) -> None:
    name = unique("job")
    error = fails_within(3, task, name)
    assert "StepTimeout: The step took longer than 0.5 seconds" in error
    assert effects_of(name) == []


def test_timeout_while_it_sleeps(unique: Any) -> None:
    """Python code that waits elsewhere is interrupted when it is back."""
    name = unique("job")
    error = fails_within(5, tasks.asleep, name, 1.5)
    assert "StepTimeout: The step took longer than 0.5 seconds" in error
    assert effects_of(name) == []


@pytest.mark.parametrize("stubborn", [False, True])
def test_step_that_cannot_be_interrupted(stubborn: bool, unique: Any, workers: Workers) -> None:
    """It is given up, and commits nothing; the worker has its slot back."""
    name = unique("job")
    worker = workers.start("-q", "alone")
    used = worker.cpu_seconds
    task = tasks.stubborn if stubborn else tasks.asleep
    error = fails_within(9, task.configure(queue="alone"), name, *([] if stubborn else [9]))
    assert "could not be interrupted" in error
    assert worker.cpu_seconds - used < 2  # it has waited, not spun
    again = sample.write.configure(queue="alone").delay(f"{name}-again")
    model.Session.commit()
    wait_for_job(again, seconds=2)
    if not stubborn:
        time.sleep(4)  # until it has slept
    assert effects_of(name) == [f"{name}-again"]
    assert worker.running
    assert worker.stop() == 0


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
        wait_for_job(job, "failed", seconds=60)
        assert "The step took longer than 0.02 seconds" in state(job, "error")
    for job in others:
        wait_for_job(job)
    assert len(effects_of(name)) == 3 * len(others)


def test_timeout_of_all_tasks(workers: Workers, unique: Any) -> None:
    name = unique("job")
    workers.start("-q", "impatient", timeout=1)
    slow = tasks.begin_and_end.configure(queue="impatient").delay(f"{name}-slow", 1.5)
    quick = tasks.begin_and_end.configure(queue="impatient").delay(f"{name}-quick", 0.5)
    model.Session.commit()
    wait_for_job(slow, "failed")
    wait_for_job(quick)
    assert state(slow, "error").endswith("The step took longer than 1 seconds")
    assert effects_of(f"{name}-slow-ended") == []


def test_aborted_by_itself(unique: Any) -> None:
    """A task that asks ends within its step, and undoes that."""
    name = unique("job")
    job = tasks.until_aborted.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    control.cancel(job.id)
    time.sleep(0.2)
    assert state(job) == "doing"
    start = time.monotonic()
    model.Session.commit()
    wait_for_job(job, "aborted")
    assert time.monotonic() - start < 0.5
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
    assert 2 <= len(done) < 10
    assert state(job, "step") == len(done)
    time.sleep(0.5)
    assert effects_of(name) == done


def test_aborted_before_it_begins(unique: Any) -> None:
    name = unique("job")
    job = sample.write.configure(countdown=1).delay(name)
    model.Session.commit()
    control.cancel(job.id)
    model.Session.commit()
    time.sleep(1.5)
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
    jobs = [tasks.wait_async.delay(f"{name}-{n}", 1.5, n == 2) for n in range(4)]
    start = time.monotonic()
    model.Session.commit()
    for number, job in enumerate(jobs):
        wait_for_job(job, "failed" if number == 2 else "succeeded")
    assert time.monotonic() - start < 3
    connections = [e.split("-")[-1] for e in effects_of(name) if "begun" in e]
    assert len(set(connections)) == len(connections) == 4
    wrote = [e for e in effects_of(name) if e.endswith("wrote")]
    assert wrote == [f"{name}-{n}-wrote" for n in (0, 1, 3)]


def test_progress_is_seen_while_the_step_runs(unique: Any) -> None:
    name = unique("job")
    job = tasks.slow_progress.delay(name)
    model.Session.commit()
    for percent in (25, 50, 75):
        wait_for(lambda percent=percent: state(job, "percent") == percent, 2.5)
        assert state(job, "text") == f"{name}: {percent} of 100"
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
    wait_for(lambda: f"{text}\n" in worker.said, 2)
