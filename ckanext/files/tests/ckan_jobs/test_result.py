"""What functions return, for code that asks for it within ``result_ttl``."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from ckanext.files.ckan_jobs import store
from ckanext.files.ckan_jobs.errors import ForgedJobError
from ckanext.files.ckan_jobs.job import Job
from ckanext.files.tests.ckan_jobs.test_dependencies import look_after
from ckanext.files.tests.ckan_jobs.test_queue import queue, row, set_state, work
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.jobs import S

__all__ = ["queue"]

VALUE = {"rows": [1, 2]}


def finish(job: Any, ttl: int | None = None) -> None:
    """Keep a result, and end the job, as a worker does."""
    store.keep_result(row(job).id, job.id, pickle.dumps(VALUE), ttl)
    set_state(job, "succeeded")


def kept(job: Any) -> Any:
    return look(f"SELECT result FROM {S}.files_rq_job WHERE rq_id = :id", id=job.id)


def put_back(job: Any, seconds: int) -> None:
    change(
        f"""UPDATE {S}.files_rq_job SET result_until = result_until - interval '1 s' * {seconds}
        WHERE rq_id = :id""",
        id=job.id,
    )


def test_result(queue: Any) -> None:
    job = queue.enqueue(work)
    assert job.result is job.return_value() is None
    finish(job)
    assert job.result == job.return_value(refresh=True) == Job.fetch(job.id).result == VALUE


def test_job_has_not_succeeded(queue: Any) -> None:
    """The result is written before the end, which may not come, or not last."""
    job = queue.enqueue(work)
    finish(job)
    for state in ("doing", "failed", "todo"):
        set_state(job, state)
        assert Job.fetch(job.id).result is None


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 500), (5, 5)])
def test_its_time_is_over(queue: Any, ttl: int | None, seconds: int) -> None:
    """It is not read any more, and the next heartbeat of a worker empties it. The job stays."""
    job, other = queue.enqueue(work), queue.enqueue(work)
    finish(job, ttl)
    finish(other, 10_000)
    put_back(job, seconds - 2)
    assert look_after() == (0, 0)
    assert Job.fetch(job.id).result == VALUE
    put_back(job, 2)
    assert Job.fetch(job.id).result is None
    assert kept(job)
    assert look_after() == (0, 1)
    assert kept(job) is None
    assert job.is_finished
    assert Job.fetch(other.id).result == VALUE


def test_for_ever_and_not_at_all(queue: Any) -> None:
    lasting, none = queue.enqueue(work), queue.enqueue(work)
    finish(lasting, -1)
    finish(none, 0)
    assert look_after() == (0, 0)
    assert lasting.result == VALUE
    assert none.result is kept(none) is None


def test_forged(queue: Any) -> None:
    """Neither a result of another job nor the signed hash of this one is read."""
    job, other = queue.enqueue(work), queue.enqueue(work)
    finish(job)
    finish(other)
    assert other.result == VALUE
    for forged in (
        f"(SELECT result FROM {S}.files_rq_job WHERE rq_id = '{other.id}')",
        "signature || hash",
        "overlay(result placing 'x' from 40)",
    ):
        change(f"UPDATE {S}.files_rq_job SET result = {forged} WHERE rq_id = :id", id=job.id)
        with pytest.raises(ForgedJobError):
            _ = Job.fetch(job.id).result
