"""Steps that end otherwise than they should, and what is seen of a step while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Task, send_task
from ckanext.files.background.task import Deferrer
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.jobs import (
    begun,
    cancel,
    defer,
    effects_of,
    events_of,
    let_go,
    locked_by_us,
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


@pytest.fixture(scope="module")
def worker(lasting_workers: Workers) -> Worker:
    return lasting_workers.start("-c", "4", "-q", "default")


def failed(task: Task[Any] | Deferrer, *arguments: Any) -> str:
    """Run a job that must fail by its timeout of half a second; return the error that was kept."""
    start = time.monotonic()
    job = defer(task, *arguments)
    wait_for_job(job, status="failed")
    assert time.monotonic() - start >= 0.5
    assert state(job, "traceback")
    return state(job, "error")


@pytest.mark.parametrize(
    "task",
    [
        tasks.busy,
        tasks.asleep_in_sql,
        # Python code that waits elsewhere is interrupted when it is back
        tasks.asleep,
        # nothing of the step stays, whatever its task makes of the interrupt
        tasks.catch_all,
    ],
)
def test_timeout(task: Task[Any] | Deferrer, name: str) -> None:
    assert "StepTimeout: The step took longer than 0.5 seconds" in failed(task, name)
    assert effects_of(name) == effects_of(f"{name}-begun")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("task", [tasks.out_of_reach, tasks.stubborn])
def test_step_that_cannot_be_interrupted(
    task: Task[Any], name: str, workers: Workers, pipe: Path
) -> None:
    """It is given up, and commits nothing; the worker has its slot back."""
    worker = workers.start("-q", "alone")
    used, start = worker.cpu_seconds, time.monotonic()
    error = failed(task.configure(queue="alone"), name, str(pipe))
    assert "could not be interrupted" in error
    # it has waited, not spun
    assert worker.cpu_seconds - used < (time.monotonic() - start) / 2
    wait_for_job(defer(sample.write.configure(queue="alone"), f"{name}-again"))
    assert effects_of(name) == [f"{name}-again"]
    if task is tasks.stubborn:
        pipe.with_suffix(".end").touch()
    else:
        pipe.write_text("")
    wait_for_effect(f"{name}-back")
    assert worker.stop() == 0  # it waits for no thread that it has given up
    assert effects_of(name) == [f"{name}-again", f"{name}-back"]


@pytest.mark.usefixtures("short_grace")
def test_cancelled_step_that_cannot_be_interrupted(name: str, workers: Workers, pipe: Path) -> None:
    worker = workers.start("-q", "alone")
    job = begun(tasks.out_of_reach_for_ever.configure(queue="alone"), name, str(pipe))
    cancel(job, now=True)
    wait_for_job(job, status="aborted")
    assert "while the step ran and could not be interrupted" in state(job, "error")
    pipe.write_text("")
    wait_for_effect(f"{name}-back")
    assert worker.stop() == 0
    assert effects_of(name) == [f"{name}-back", f"{name}-begun"]


def test_timeouts_hit_no_other_job(name: str, full_size: bool) -> None:
    """Whatever the next step on a connection does when the one before was just interrupted."""
    late, others = [], []
    for number in range(400 if full_size else 8):
        late.append(tasks.soon_too_late.delay(f"{name}-late-{number}", bool(number % 2)))
        each = ({"name": f"{name}-{number}-{n}", "left": 2} for n in range(10))
        others += tasks.in_sql_all_the_time.batch_defer(*each)
    model.Session.commit()
    wait_for_job(*late, status="failed")
    for job in late:
        assert "The step took longer than 0.02 seconds" in state(job, "error")
    wait_for_job(*others)
    assert len(effects_of(name)) == 3 * len(others)


@pytest.mark.usefixtures("short_grace")
def test_callbacks_are_no_part_of_the_step(name: str, workers: Workers) -> None:
    """They may take longer than it; other jobs run meanwhile."""
    worker = workers.start("-q", "alone")
    job = defer(tasks.hold_in_a_callback.configure(queue="alone"), name)
    waiting = defer(sample.write.configure(queue="alone"), f"{name}-next")
    wait_for_job(job, waiting)
    assert events_of(waiting) == ["deferred", "started", "succeeded"]
    wait_for(lambda: "its callbacks of on_commit take long" in worker.said)
    let_go(name)
    wait_for_effect(f"{name}-ended")
    assert "ERROR" not in worker.said
    assert "got lost" not in worker.said


def test_timeout_of_all_tasks(workers: Workers, name: str) -> None:
    workers.start("-q", "impatient", timeout=1)
    slow = defer(tasks.until_aborted.configure(queue="impatient"), f"{name}-slow")
    quick = defer(sample.write.configure(queue="impatient"), f"{name}-quick")
    wait_for_job(slow, status="failed")
    wait_for_job(quick)
    assert state(slow, "error").endswith("The step took longer than 1 seconds")
    assert effects_of(f"{name}-slow-never") == []


def test_unknown_task(name: str, worker: Worker) -> None:
    job = send_task("ckanext.gone.tasks.tidy", [1])
    misspelt = send_task(sample.write.name + "_", [name])
    misfit = send_task("sample.write.of.old", [name])
    after = defer(sample.write, name)
    wait_for_job(job, misspelt, misfit, status="failed")
    assert "UnknownTaskError: There is no task ckanext.gone.tasks.tidy" in state(job, "error")
    assert f"Did you mean {sample.write.name}?" in state(misspelt, "error")
    wait_for_job(after)
    assert worker.running


@pytest.mark.parametrize("task", [tasks.fail_oddly, tasks.fail_with_a_tiny_progress])
def test_errors_that_cannot_be_printed(task: Task[Any], worker: Worker, name: str) -> None:
    """The job fails, and not one worker after the other."""
    wait_for_job(defer(task, name), status="failed")
    assert worker.running


def test_async_tasks(name: str) -> None:
    """At the same time, each with a session of its own."""
    jobs = [defer(tasks.meet_async, name, number, 4, number == 2) for number in range(4)]
    for number, job in enumerate(jobs):
        wait_for_job(job, status="failed" if number == 2 else "succeeded")
    connections = {effect.split("-")[-1] for effect in effects_of(f"{name}-begun-")}
    assert len(connections) == 4
    assert effects_of(f"{name}-wrote-") == [f"{name}-wrote-{number}" for number in (0, 1, 3)]


def test_progress_is_seen_while_the_step_runs(worker: Worker, name: str) -> None:
    """Once the row is free: a transaction that holds it for long keeps no worker from its beats."""
    job = defer(tasks.progress_by_and_by, name)

    def is_seen(percent: int) -> None:
        wait_for(lambda: state(job, "percent") == percent)
        assert state(job, "text") == f"{name}: {percent} of 100"
        assert state(job) == "doing"

    is_seen(25)
    with locked_by_us(job):
        let_go(f"{name}-25")
        wait_for_heartbeats(worker.id, 3)
        is_seen(25)
    for percent in (50, 75):
        is_seen(percent)
        let_go(f"{name}-{percent}")
    wait_for_job(job)
    assert state(job, "percent") == 100


def test_tasks_are_listed_at_start(worker: Worker) -> None:
    listed = worker.said.split("Tasks loaded:\n")[1].splitlines()
    names = [line.strip() for line in listed if line.startswith("  ")]
    assert {sample.write.name, tasks.work.name, "ckanext.files.chain"} <= set(names)


def test_print(worker: Worker, unique: Callable[[str], str]) -> None:
    """It can be read while the worker goes on, not only when it ends."""
    text = f"hello {unique('world')}!"
    wait_for_job(defer(tasks.say, text))
    wait_for(lambda: f"{text}\n" in worker.said)
