"""The statements of a worker beside those that end steps."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, control
from ckanext.files.background.job import ClaimedJob
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker.queries import WorkerQueries
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

LOCK = f"SELECT id FROM {SCHEMA}.procrastinate_jobs WHERE id = %s FOR UPDATE"
END = f"SELECT _outcome FROM {SCHEMA}.files_end_step(%s, %s, %s, NULL, 100, 'done', NULL, false)"
PERCENT = f"SELECT percent FROM {SCHEMA}.files_job WHERE job_id = :id"


@pytest.fixture
def queries() -> Iterator[WorkerQueries]:
    queries = WorkerQueries(engine())
    queries.register()
    yield queries
    queries.unregister()
    queries.close()


def claimed(queries: WorkerQueries) -> ClaimedJob:
    sample.noop.delay()
    model.Session.commit()
    claim = queries.claim([])
    assert claim
    return claim


def test_jobs_that_have_lost_their_workers_run_apart(queries: WorkerQueries) -> None:
    """Once may be an accident; twice at the same step may be the job's own doing."""

    def claim_all(queries: WorkerQueries) -> dict[int, ClaimedJob]:
        claims = iter(lambda: queries.claim([]), None)
        return {claim.id: claim for claim in claims if claim}

    jobs = [sample.noop.delay().id for _ in range(3)]
    model.Session.commit()
    for lost in (jobs, jobs[:2]):
        claims = claim_all(queries)
        assert list(claims) == jobs
        for job_id in lost:
            queries.release(job_id, claims[job_id].attempts, 10)
        queries.release_all()
    other = WorkerQueries(engine())
    other.register()
    try:
        query = sa.text(f"SELECT {SCHEMA}.files_claim(NULL, :worker, true)")
        with engine().begin() as step:
            first = step.execute(query, {"worker": queries.worker_id}).scalar_one()
            assert json.loads(first)["id"] == jobs[0]
            assert list(claim_all(queries)) == [jobs[2]]
        assert claim_all(queries) == {}
        assert list(claim_all(other)) == [jobs[1]]
    finally:
        other.unregister()
        other.close()


def test_job_that_was_to_end_does_not_begin_again(queries: WorkerQueries) -> None:
    """Its worker was lost before the task had looked for that."""
    claim = claimed(queries)
    assert control.cancel(claim.id) == "doing"
    model.Session.commit()
    queries.release(claim.id, claim.attempts, 10)
    status = f"SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = :id"
    assert look(status, id=claim.id) == "aborted"
    assert queries.claim([]) is None


def row_and_history(job: Job) -> tuple[Any, Any]:
    """Return the row of a job and its history."""
    row = "SELECT to_jsonb(j) FROM {}.procrastinate_jobs j WHERE id = :id"
    events = "SELECT jsonb_agg(to_jsonb(e) ORDER BY id) FROM {}.procrastinate_events e"
    history = look(f"{events.format(SCHEMA)} WHERE job_id = :id", id=job.id)
    return look(row.format(SCHEMA), id=job.id), history


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


@pytest.mark.parametrize(
    "options", [{}, {"eta": PAST}, {"lock": "a"}, {"queueing_lock": "b"}, {"priority": 5}], ids=str
)
def test_job_that_is_handed_back_is_what_it_was(
    options: Any, queries: WorkerQueries, unique: Any
) -> None:
    """At its first step; it does not look as if a worker had ever had it."""
    job = sample.tell.configure(**options).delay(unique("job"), 1, "x")
    model.Session.commit()
    before = row_and_history(job)
    claim = queries.claim([])
    assert claim
    context = claim.context(bool)
    context.percent = 42.5
    assert queries.publish(claim, context)
    queries.release_all()
    assert row_and_history(job) == before
    assert look(PERCENT, id=job.id) is None
    again = queries.claim([])
    assert again
    assert again.id == job.id


def test_handed_back_beside_a_job_with_the_same_queueing_lock(queries: WorkerQueries) -> None:
    """The other one waits already: as after a retry, this one waits without that lock."""
    one_at_a_time = sample.noop.configure(queueing_lock="b")
    job = one_at_a_time.delay()
    model.Session.commit()
    assert queries.claim([])
    other = one_at_a_time.delay()
    model.Session.commit()
    queries.release_all()
    assert row_and_history(job)[0]["status"] == row_and_history(other)[0]["status"] == "todo"
    assert [claim.id for claim in iter(lambda: queries.claim([]), None) if claim] == [
        job.id,
        other.id,
    ]


@pytest.mark.usefixtures("effects")
def test_handed_back_after_a_retry(
    queries: WorkerQueries, tasks: TasksManager, unique: Any
) -> None:
    job = sample.flaky.delay(unique("job"), 3)
    tasks.run_pending_jobs(most=1)
    before = row_and_history(job)
    assert (before[0]["status"], before[0]["attempts"]) == ("todo", 1)
    assert queries.claim([])
    queries.release_all()
    assert row_and_history(job) == before


def test_progress(queries: WorkerQueries) -> None:
    claim = claimed(queries)
    context = claim.context(bool)
    context.percent = 42.5
    assert queries.publish(claim, context)
    assert look(PERCENT, id=claim.id) == 42.5


def test_progress_stays_out_of_the_way_of_the_steps_end(queries: WorkerQueries) -> None:
    """It waits for no transaction, none waits for it, and it does not come after the end."""
    claim = claimed(queries)
    context = claim.context(bool)
    context.percent = 42.5
    answers: list[Any] = []
    ending: Any = engine().raw_connection()
    try:
        cursor = ending.cursor()
        cursor.execute(LOCK, (claim.id,))  # as the end of a step begins
        publish = threading.Thread(target=lambda: answers.append(queries.publish(claim, context)))
        publish.start()
        publish.join(5)
        assert answers == [False]
        cursor.execute(END, (claim.id, queries.worker_id, claim.attempts))
        assert cursor.fetchone() == ("finished",)
        ending.commit()
    finally:
        ending.close()
    assert not queries.publish(claim, context)
    assert look(PERCENT, id=claim.id) == 100
