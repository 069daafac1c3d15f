"""Killed, frozen and disconnected workers: each step is done exactly once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ckan import model
from ckan.tests import factories

from ckanext.files.background import Task
from ckanext.files.tests.support import witness
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.storm import Storm
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.witness import Findings
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.crash

loaded = load_plugins("files", "files_background")

DATASETS = 6


@pytest.fixture(scope="module")
def tables(loaded: None) -> None:
    witness.create_tables()


def prepare(task: Task[Any], run: str, jobs: int, steps: int) -> list[str]:
    """Defer jobs; return the datasets that they change."""
    datasets = [str(factories.Dataset(title="0")["id"]) for _ in range(DATASETS)]
    task.batch_defer(
        *(
            {"run": run, "number": n, "step": 1, "steps": steps, "datasets": datasets}
            for n in range(jobs)
        )
    )
    model.Session.commit()
    return datasets


def waiting() -> int:
    return look(f"SELECT count(*) FROM {S}.procrastinate_jobs WHERE status IN ('todo', 'doing')")


def owned_by(worker: Worker) -> int:
    query = (
        f"SELECT count(*) FROM {S}.procrastinate_jobs WHERE status = 'doing' AND worker_id = :id"
    )
    return look(query, id=worker.id)


def taken_over() -> int:
    return look(f"SELECT count(*) FROM {S}.procrastinate_events WHERE type = 'deferred_for_retry'")


@pytest.fixture
def workers(workers: Workers, commands: Workers, full_size: bool) -> Workers:
    """Those that are there again at once, and CKAN's command at full size."""
    return commands if full_size else workers


@pytest.mark.usefixtures("tables")
def test_exactly_once(workers: Workers, unique: Any, full_size: bool, record_property: Any) -> None:
    run, jobs, steps = unique("run"), 2000 if full_size else 30, 5
    datasets = prepare(tasks.work, run, jobs, steps)
    storm = Storm(
        list(workers.start_two("-c", "4", frozen_after=2)),
        kills=120 if full_size else 4,
        freezes=30 if full_size else 1,
        cuts=60 if full_size else 4,
    )
    start = time.monotonic()
    storm.rage(lambda: jobs * steps if not waiting() else witness.done(run), jobs * steps)
    record_property("seconds", time.monotonic() - start)
    record_property("taken_over", taken_over())
    for name in ("kills", "freezes", "cuts", "ended"):
        record_property(name, getattr(storm, name))
    time.sleep(2)  # for workers that were woken last
    assert witness.examine(run, jobs, steps, datasets, patched=True) == Findings()


@pytest.mark.usefixtures("tables")
def test_the_naive_order_of_commits(workers: Workers, unique: Any, record_property: Any) -> None:
    """The negative control: the same examination finds what a worker can do wrong."""
    run, jobs, steps = unique("run"), 24, 3
    datasets = prepare(tasks.work_naively, run, jobs, steps)
    both = workers.start_two("-c", "4", frozen_after=2)
    wait_for(lambda: witness.done(run))
    for worker in both:
        worker.freeze()
        wait_for(lambda worker=worker: not owned_by(worker))
        worker.wake()
    for worker in both:
        worker.kill()
        worker.start()
    wait_for(lambda: not waiting())
    findings = witness.examine(run, jobs, steps, datasets, patched=False)
    record_property("findings", findings)
    assert findings.doubled > 0
    assert findings.foul > 0
    assert findings.wrong_counters
