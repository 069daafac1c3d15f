"""The history of a job, as people read it: in one order, and true about what happened."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest

from ckanext.files.background import Job, record
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background.test_worker import ask, claim_all, registered
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.jobs import let_time_pass, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")

IN_2040 = dt.datetime(2040, 1, 1, 9, tzinfo=dt.timezone.utc)


def history(job: Job) -> list[str]:
    """Return the types of the events of a job, whose times must ascend."""
    events = record.history(job.id)
    assert all(one.at <= other.at for one, other in pairwise(events))
    return [event.type for event in events]


def test_put_off(tasks: TasksManager, name: str) -> None:
    """The time for which a job waits is a part of the event that has put it off."""
    later = ask(eta=IN_2040)
    assert [(each.type, each.due) for each in record.history(later.id)] == [("deferred", IN_2040)]
    job = ask(sample.flaky, name, 2, 60)
    for _ in range(2):
        tasks.run_pending_jobs()
        due = record.history(job.id)[-1].due
        assert due
        assert due == shown(job).scheduled_at
        let_time_pass()
    tasks.run_pending_jobs()
    run = ["started", "deferred_for_retry"]
    assert history(job) == ["deferred", *run, *run, "started", "succeeded"]


@pytest.mark.parametrize("row", ["kept", "deleted"])
def test_lost_with_its_worker(row: str, tasks: TasksManager) -> None:
    """That is no failure, and the second run has a beginning."""
    job = ask()
    with registered() as dead, registered() as rescuer:
        claims = claim_all(dead)
        if row == "kept":
            dead.release(job.id, claims[job.id].attempts, 10)
        else:
            change(f"DELETE FROM {SCHEMA}.procrastinate_workers WHERE id = :id", id=dead.worker_id)
            rescuer.rescue(3600, 10)
        assert history(job) == ["deferred", "started", "interrupted"]
        for _ in range(2):
            assert list(claim_all(rescuer)) == [job.id]
            assert history(job) == ["deferred", "started", "interrupted", "started"]
            rescuer.release_all()  # a worker that stops: nothing is lost
    tasks.run_pending_jobs()
    assert history(job)[-2:] == ["started", "succeeded"]
    assert history(job).count("started") == 2


def test_steps_are_no_events(tasks: TasksManager, name: str) -> None:
    """Also where a job gives its slot to another one between them."""
    job, other = (ask(sample.count_down, f"{name}-{n}", 3, 3) for n in range(2))
    tasks.run_pending_jobs()
    assert history(job) == history(other) == ["deferred", "started", "succeeded"]
