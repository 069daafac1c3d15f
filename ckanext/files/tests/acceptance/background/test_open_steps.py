"""Real workers run steps that are not atomic: without a transaction, at least once."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.background import Job
from ckanext.files.background.worker.repairs import Repairs
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.counted_steps import Storm
from ckanext.files.tests.support.effects import look, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """With it a step goes on that holds."""
    return tmp_path / "go-on"


@pytest.fixture
def held(name: str, file: Path) -> Callable[..., Job]:
    """Let a worker begin a job that holds the first time only."""
    return lambda steps=0: jobs.begun(tasks.commit_and_hold, name, str(file), steps)


def in_transaction(worker: int) -> set[str]:
    """Return the states of the worker's sessions that are within a transaction."""
    query = f"SELECT state FROM pg_stat_activity WHERE pid IN ({jobs._SESSIONS})"
    found = rows(f"{query} AND xact_start IS NOT NULL", worker=str(worker))
    return {state for (state,) in found}


def test_no_transaction_while_it_runs(held: Any, file: Path, workers: Workers, name: str) -> None:
    """Other sessions see what it has committed. An atomic step is the control."""
    worker = workers.start("-c", "2")
    atomic = jobs.begun(tasks.write_and_hold, f"{name}-atomic")
    assert "idle in transaction" in in_transaction(worker.id)
    assert f"{name}-atomic" not in jobs.effects_of(name)
    jobs.let_go(f"{name}-atomic")
    jobs.wait_for_job(atomic)
    job = held(steps=2)
    assert jobs.state(job, "step") == 2
    for _ in range(20):
        assert "idle in transaction" not in in_transaction(worker.id)
        time.sleep(0.01)
    file.touch()
    jobs.wait_for_job(job)
    assert jobs.state(job, "step") == 3
    assert jobs.events_of(job) == ["deferred", "started", "succeeded"]


def test_killed(held: Any, workers: Workers, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had committed stays, finished steps are not repeated, and this one is."""
    monkeypatch.setattr("ckanext.files.background.worker.stalled._RECONNECTING", 1.0)
    one, other = workers.start_two(frozen_after=3600)
    job = held(steps=1)
    killed = one if jobs.state(job, "worker_id") == one.id else other
    killed.kill()
    jobs.wait_for_job(job)
    expected = ["begun-0", "begun-1", "ended-1", "step-1"]
    assert jobs.effects_of(name) == [f"{name}-{each}" for each in expected]
    assert jobs.state(job, "attempts") == 2


def test_silent(
    held: Any, file: Path, workers: Workers, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen worker can commit when it wakes: the others take it for dead later than usual.

    When it wakes after that, it ends the step.
    """
    frozen = workers.start()
    job = held()
    frozen.freeze()
    last = jobs.last_heartbeat(frozen.id)
    monkeypatch.setattr("ckanext.files.background.worker.stalled._PATIENCE", 4)
    workers.start("-q", "default", frozen_after=1)
    jobs.wait_for_job(job)
    assert look("SELECT now()") - last > dt.timedelta(seconds=4)
    frozen.wake()
    wait_for(lambda: f"Job {job.id}: The job was taken away while the step ran" in frozen.said)
    file.touch()
    assert frozen.stop() == 0
    assert jobs.effects_of(name) == [f"{name}-{each}" for each in ("begun-0", "begun-1", "ended-1")]


def test_lost_its_connections(held: Any, file: Path, workers: Workers, name: str) -> None:
    """A worker that lives has no lock for a while: the others give it time to connect again."""
    worker = workers.start()
    job = held()
    worker.freeze()
    jobs.cut(jobs.sessions_of(worker.id))
    other = workers.start()
    jobs.wait_for_heartbeats(other.id, 5)
    worker.wake()
    wait_for(lambda: jobs.listener_of(worker.id))
    jobs.wait_for_heartbeats(other.id, 5)
    file.touch()
    jobs.wait_for_job(job)
    assert jobs.effects_of(name) == [f"{name}-begun-0", f"{name}-ended-0"]
    assert "Rescued" not in other.said


def test_end_that_has_to_wait(
    held: Any, file: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections are cut while the step runs, and its job is locked when it has ended.

    The step is done: it does not run again, and does not take too long either.
    """
    monkeypatch.setattr("ckanext.files.background.worker.execution._OPEN_GRACE", 0.1)
    worker = workers.start(timeout=1)
    job = held()
    jobs.cut(jobs.sessions_of(worker.id))
    with jobs.locked_by_us(job):
        file.touch()
        wait_for(lambda: "cannot be written yet" in worker.said)
        time.sleep(1)
        jobs.wait_for_heartbeats(worker.id, 2)
    jobs.wait_for_job(job)
    assert jobs.state(job, "attempts") == 1
    assert worker.running


def test_handed_back(workers: Workers, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a worker that stops, beside one that waits for jobs: no two runs meet.

    The last repair takes its time, as when Solr does not answer. The next run is another attempt,
    and sees that.
    """
    monkeypatch.setattr(Repairs, "wait", lambda self: time.sleep(3))
    monkeypatch.setattr("ckanext.files.background.worker.stalled._RECONNECTING", 1.0)
    worker = workers.start(shutdown_timeout=0)
    job = jobs.begun(tasks.hold_a_connection, name)
    workers.start()
    assert worker.stop() == 0
    jobs.wait_for_job(job)
    assert jobs.effects_of(f"{name}-met") == [f"{name}-met-False"]
    assert jobs.state(job, "attempts") == 2


@pytest.mark.parametrize(
    ("then", "status", "error"),
    [
        ("go on", "succeeded", None),
        ("same error", "failed", "TooSlowError: The step took longer than 0.5 seconds"),
        ("SQL", "succeeded", None),
        ("other error", "failed", "ValueError: it was too slow"),
    ],
)
def test_timeout(then: str, status: str, error: str | None, workers: Workers, name: str) -> None:
    """A step may clean up, by the exception of its task, and decides how it ends.

    The task has a limit for each job.
    """
    workers.start(timeout=3600)
    job = jobs.begun(tasks.interrupted_openly, name, then, 0.5)
    jobs.wait_for_job(job, status=status)
    assert (error or "") in (jobs.state(job, "error") or "")
    assert jobs.effects_of(name) == [f"{name}-begun", f"{name}-clean"]


def test_cancelled(workers: Workers, name: str) -> None:
    """A job that fails after it was cancelled is aborted, whatever its error is.

    It has no timeout, although other jobs of the worker have one.
    """
    workers.start(timeout=0.5)
    job = jobs.begun(tasks.interrupted_openly, name, "other error", 0)
    time.sleep(1)
    assert jobs.state(job) == "doing"
    jobs.cancel(job, now=True)
    jobs.wait_for_job(job, status="aborted")
    assert jobs.effects_of(name) == [f"{name}-begun", f"{name}-clean"]


def test_cannot_be_interrupted(
    workers: Workers, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end of its process keeps the step from committing: a new process replaces it.

    Other steps of the worker get the time to end, and the job does not end before its process.
    """
    monkeypatch.setattr("ckanext.files.background.worker.execution._OPEN_GRACE", 1.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = workers.start("--processes", "2", "-c", "2", "-q", "alone", timeout=0.5)
    # in all other slots, so also in the other slot of that worker
    hold = tasks.hold_for_long.configure(queue="alone")
    others = [jobs.begun(hold, f"{name}-{number}") for number in range(3)]
    job = jobs.begun(tasks.stuck_openly.configure(queue="alone"), f"{name}-stuck", str(pipe))
    before = set(worker.children)
    wait_for(lambda: "and could not be interrupted: the worker ends" in worker.said)
    assert jobs.state(job) == "doing"
    for number in range(3):
        jobs.let_go(f"{name}-{number}")
    jobs.wait_for_job(*others)
    jobs.wait_for_job(job, status="failed")
    assert "0.5 seconds and could not be interrupted" in jobs.state(job, "error")
    wait_for(lambda: len(worker.children) == 2 and set(worker.children) != before)
    with pytest.raises(OSError, match="No such device"):  # nothing reads the pipe any more
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    jobs.wait_for_job(jobs.defer(sample.write.configure(queue="alone"), f"{name}-again"))


def test_cannot_be_interrupted_and_is_locked(
    workers: Workers, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end waits for the transaction that has locked the job, and it does not run again."""
    monkeypatch.setattr("ckanext.files.background.worker.execution._OPEN_GRACE", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = workers.start("-q", "alone", timeout=0.5)
    job = jobs.begun(tasks.stuck_openly.configure(queue="alone"), name, str(pipe))
    with jobs.locked_by_us(job):
        wait_for(lambda: "and could not be interrupted: the worker ends" in worker.said)
        time.sleep(1)
    assert worker.wait() == 1
    assert jobs.state(job) == "failed"
    assert "could not be interrupted" in jobs.state(job, "error")


@pytest.mark.parametrize("lost", [False, True])
def test_error_of_the_database(lost: bool, workers: Workers, name: str) -> None:
    """After a lost connection it runs again as after a lost worker; after a deadlock it failed."""
    workers.start()
    job = jobs.defer(tasks.conflict_openly, name, lost)
    jobs.wait_for_job(job, status="succeeded" if lost else "failed")
    assert len(jobs.effects_of(name)) == 1 + lost
    assert (jobs.state(job, "rescues") or 0) == lost


def runs_of(name: str) -> list[tuple[str, str, str]]:
    """Return what the runs of a job's steps have noted: what happened, the step, the attempt."""
    found = [effect.rsplit("-", 3) for effect in jobs.effects_of(f"{name}-")]
    return [(what, step, attempts) for _, what, step, attempts in found]


def test_at_least_once(
    workers: Workers, name: str, full_size: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are killed, frozen and disconnected: no step is left out, and no two runs meet."""
    monkeypatch.setattr("ckanext.files.background.worker.stalled._RECONNECTING", 1.0)
    names, steps = [f"{name}-{number}" for number in range(400 if full_size else 24)], 4
    asked = [jobs.defer(tasks.time_open_steps, each, 1, steps, 0.1) for each in names]
    storm = Storm(
        list(workers.start_two("-c", "4", frozen_after=1)),
        kills=60 if full_size else 4,
        freezes=15 if full_size else 1,
        cuts=30 if full_size else 4,
        standstill=(1.5, 2.0),
    )
    ended = f"SELECT coalesce(sum(step), 0) FROM {jobs.S}.files_job"
    storm.rage(lambda: look(ended), len(names) * steps)
    jobs.wait_for_job(*asked)
    for each in names:
        runs = runs_of(each)
        for number in range(1, steps + 1):
            assert {what for what, step, _ in runs if step == str(number)} == {"began", "ended"}
        order = [(int(step), int(attempts)) for _, step, attempts in runs]
        assert order == sorted(order)
    assert any(attempts != "0" for each in names for *_, attempts in runs_of(each))
