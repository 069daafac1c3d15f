"""Jobs that are cancelled and tried again while real workers run them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import control
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import (
    S,
    change,
    effects_of,
    let_go,
    locked_by_us,
    rows,
    state,
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
    return lasting_workers.start("-c", "4")


def unfinished() -> list[int]:
    return [
        job for (job,) in rows(f"SELECT id FROM {S}.procrastinate_jobs WHERE status <> 'succeeded'")
    ]


def test_cancelled_and_tried_again_at_random(unique: Any) -> None:
    """Whatever the workers do at that moment: each step of each job is done once."""
    name, names = unique("job"), []
    became: Counter[str | None] = Counter()

    def disturb() -> bool:
        """Cancel a job, and try one again; return whether that met each state often enough."""
        while len(ids := unfinished()) < JOBS:
            names.append(f"{name}-{len(names)}")
            tasks.steps.delay(names[-1], 1, STEPS, 0.05)
            model.Session.commit()
        became[control.cancel(random.choice(ids))] += 1
        model.Session.commit()
        became["retried"] += control.retry(random.choice(ids))
        model.Session.commit()
        return all(became[each] >= 3 for each in ("cancelled", "aborted", "doing", "retried"))

    wait_for(disturb)

    def all_done() -> bool:
        for job in unfinished():
            control.retry(job)
            model.Session.commit()
        return not unfinished()

    wait_for(all_done)
    done = [f"{each}-{step:04}" for each in names for step in range(1, STEPS + 1)]
    assert sorted(effects_of(name)) == sorted(done)


@pytest.mark.usefixtures("seldom_looking")
def test_a_retry_wakes_a_worker(workers: Workers) -> None:
    """It need not look for the job."""
    workers.start("-q", "retried")
    job = sample.noop.configure(queue="retried").delay()
    control.cancel(job.id)
    model.Session.commit()
    for _ in range(5):
        assert control.retry(job.id)
        model.Session.commit()
        wait_for_job(job)
        change(f"UPDATE {S}.procrastinate_jobs SET status = 'failed' WHERE id = :id", id=job.id)


def test_progress_is_told_once_the_row_is_free(worker: Worker, unique: Any) -> None:
    """Somebody who holds it for long keeps no worker from its signs of life."""
    name = unique("job")
    job = tasks.progress_by_and_by.delay(name)
    model.Session.commit()
    sign_of_life = f"SELECT last_heartbeat FROM {S}.procrastinate_workers WHERE id = :id"
    wait_for(lambda: state(job, "f.percent") == 25)
    with locked_by_us(job):
        let_go(f"{name}-25")
        for _ in range(3):
            before = look(sign_of_life, id=worker.id)
            wait_for(lambda before=before: look(sign_of_life, id=worker.id) > before)
        assert state(job, "f.percent") == 25
    wait_for(lambda: state(job, "f.percent") == 50)
    assert state(job) == "doing"
    for percent in (50, 75):
        let_go(f"{name}-{percent}")
    wait_for_job(job)
