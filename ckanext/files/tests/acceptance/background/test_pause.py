"""Queues that are paused while real workers work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import bulk, periodic, queues, task
from ckanext.files.background import call as registry
from ckanext.files.background.app import app as procrastinate
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


@pytest.fixture(autouse=True)
def all_resumed() -> Iterator[None]:
    yield
    model.Session.remove()
    change(f"DELETE FROM {jobs.S}.files_paused_queue")


def pause(queue: str) -> None:
    queues.pause(queue)
    model.Session.commit()
    assert queues.wait_for_claims()


def resume(queue: str) -> None:
    queues.resume(queue)
    model.Session.commit()


def test_while_workers_die_and_start(workers: Workers, name: str) -> None:
    """The step that runs ends; what else there is waits, however many workers come and go."""
    busy = workers.start("-c", "2")
    slow = tasks.steps.configure(queue="slow")
    long = jobs.defer(slow, f"{name}-long", 1, 3, 0, [1])
    jobs.wait_for_effect(f"{name}-long-0001-holds")
    lost = jobs.begun(tasks.hold_at_first.configure(queue="slow"), f"{name}-lost")
    pause("slow")
    waits = jobs.defer(sample.write.configure(queue="slow"), f"{name}-waits")
    jobs.let_go(f"{name}-long-0001")
    wait_for(lambda: jobs.state(long, "resume_order"))
    assert (jobs.state(long), jobs.state(long, "step")) == ("doing", 1)

    busy.kill()  # within the step of the other job
    workers.start_two()
    wait_for(lambda: jobs.state(lost, "resume_order"))
    jobs.wait_for_job(jobs.defer(sample.write, f"{name}-elsewhere"))
    told = (f"{name}-long-0001", f"{name}-lost-begun", f"{name}-elsewhere")
    written = [each for each in jobs.effects_of(name) if "holds" not in each]
    assert len(written) == 3
    assert all(any(each.startswith(one) for one in told) for each in written)

    resume("slow")
    jobs.wait_for_job(long, lost, waits)
    assert jobs.state(long, "step") == 3
    assert jobs.state(lost, "attempts") >= 1


@pytest.mark.usefixtures("only_notified")
def test_resumed_jobs_begin_at_once(workers: Workers, name: str) -> None:
    """Workers need no second look."""
    workers.start("-q", "told")
    workers.start()
    pause("told")
    job = jobs.defer(sample.write.configure(queue="told"), name)
    other = jobs.defer(sample.write, f"{name}-other")
    jobs.wait_for_job(other)
    assert jobs.state(job) == "todo"
    resume("told")
    jobs.wait_for_job(job)


def test_a_worker_that_ends_by_itself(workers: Workers, name: str) -> None:
    """It does not wait for jobs of a paused queue."""
    pause("told")
    job = jobs.defer(sample.write.configure(queue="told"), name)
    worker = workers.prepare("--no-wait")
    worker.launch()
    assert worker.wait() == 0
    assert jobs.state(job) == "todo"


def tock(timestamp: int) -> None:
    sample.effect(f"tock-{timestamp}")


@pytest.fixture
def tocking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.setattr(procrastinate.periodic_registry, "periodic_tasks", {})
    periodic(cron="* * * * * *")(task(queue="tocks")(tock))


@pytest.mark.usefixtures("tocking")
def test_schedules_go_on(workers: Workers) -> None:
    """Their jobs wait like others."""
    pause("tocks")
    workers.start()
    waiting = f"SELECT id FROM {jobs.S}.procrastinate_jobs WHERE status = 'todo'"
    wait_for(lambda: len(rows(waiting)) >= 2)
    assert not jobs.effects_of("tock-")
    resume("tocks")
    wait_for(lambda: len(jobs.effects_of("tock-")) >= 2)


@pytest.mark.crash
def test_race_of_pauses_and_claims(workers: Workers, name: str, full_size: bool) -> None:
    """After a pause only those jobs take a step that ran when it returned, and one step each."""
    workers.start("-c", "2")
    workers.start("-c", "2", "-q", "raced")
    many = [
        tasks.time_steps.configure(queue="raced").delay(f"{name}-{number}", "x", 50)
        for number in range(200 if full_size else 40)
    ]
    model.Session.commit()
    steps = f"""
        SELECT j.id, coalesce(f.step, 0) + (j.status = 'succeeded')::integer,
            j.worker_id IS NOT NULL
        FROM {jobs.S}.procrastinate_jobs j LEFT JOIN {jobs.S}.files_job f ON f.job_id = j.id
    """
    pauses = 0
    while not all(jobs.state(job) == "succeeded" for job in many[-1:]) and pauses < 40:
        pause("raced")
        pauses += 1
        before = {id_: (step, runs) for id_, step, runs in rows(steps)}
        wait_for(lambda: not any(runs for _, _, runs in rows(steps)))
        time.sleep(0.05)
        after = {id_: step for id_, step, _ in rows(steps)}
        moved = {id_: step - before[id_][0] for id_, step in after.items() if step > before[id_][0]}
        # "succeeded" counts once more: the last step of a job
        assert all(before[id_][1] and more <= 2 for id_, more in moved.items()), moved
        resume("raced")
        time.sleep(0.02)
    assert pauses >= 5
    jobs.wait_for_job(*many)


@pytest.mark.crash
def test_race_of_changes_of_many_jobs(
    app: Any, workers: Workers, name: str, full_size: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that end all jobs, or have all run again, do not end each other, nor any step."""
    monkeypatch.setattr(bulk, "_BATCH", 20)
    workers.start("-c", "3", "-q", "raced")
    count = 600 if full_size else 150
    labels = [f"{number:04}" for number in range(count)]
    for label in labels:
        tasks.steps.configure(queue="raced", lock=f"{name}-{int(label) % 7}").delay(
            f"{name}-{label}", 1, 3
        )
    model.Session.commit()
    filters = {"queue": "raced"}

    def change(found: Callable[[dict[str, Any]], Iterator[int]]) -> int:
        changed, end = 0, time.monotonic() + (20 if full_size else 4)
        while time.monotonic() < end:
            for number in found(filters):
                model.Session.commit()
                changed += number
        return changed

    ends = [lambda: change(bulk.cancel_found)] * 2 + [lambda: change(bulk.retry_found)] * 2
    outcomes = race(app, ends)
    assert all(isinstance(changed, int) and changed for changed in outcomes), outcomes
    wait_for(lambda: not rows(f"SELECT FROM {jobs.S}.procrastinate_jobs WHERE status = 'doing'"))
    for _ in bulk.retry_found(filters):
        model.Session.commit()
    states = f"SELECT DISTINCT status::text FROM {jobs.S}.procrastinate_jobs"
    wait_for(lambda: rows(states) == [("succeeded",)])
    # each step has committed once, however often its job was ended and begun again
    assert len(jobs.effects_of(name)) == 3 * count
