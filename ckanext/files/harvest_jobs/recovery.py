"""What has no job any more goes on, or ends with an error: nothing of a harvest job is stuck.

``harvest_jobs_run``, which sites call every few minutes, begins with this. ckanext-harvest
sends again what has waited for long, even while a worker runs it. Here the tables of jobs
answer what became of it.
"""

from __future__ import annotations

from ckanext.files.ckan_jobs import store

from . import records
from .stage import FETCH, GATHER

_ON_ITS_WAY = ("todo", "scheduled", "deferred", "doing")

_LOST = "The {stage} stage has ended as a background job with the state {status}, see the job {job}"


_FAILED = ("failed", "aborted", "cancelled")


def recover() -> None:
    """Look after all harvest jobs that run, and after each fetch that has failed."""
    _end_failed_objects()
    for job_id in records.running_jobs():
        status = store.statuses([rq_id := GATHER.rq_id(job_id)]).get(rq_id)
        if status in _ON_ITS_WAY:
            continue
        if records.is_gathered(job_id):
            _recover_objects(job_id)
        elif status is None:
            GATHER.put(job_id)
        else:
            reason = _LOST.format(stage="gather", status=status, job=rq_id)
            records.end_gathering(job_id, reason)


def _end_failed_objects() -> None:
    """End objects whose jobs have failed without them, also of a harvest job that was aborted."""
    for status in _FAILED:
        for object_id in records.in_progress(map(FETCH.about_job, FETCH.jobs_in(status))):
            _end(object_id, status)


def _recover_objects(job_id: str) -> None:
    """Fetch the objects that have no job, such as those that another queue had; end the others."""
    ids = {FETCH.rq_id(object_id): object_id for object_id in records.objects_in_progress(job_id)}
    statuses = store.statuses(ids)
    for rq_id, object_id in ids.items():
        status = statuses.get(rq_id)
        if status is None:
            FETCH.put(object_id)
        elif status not in _ON_ITS_WAY:
            _end(object_id, status)


def _end(object_id: str, status: str) -> None:
    reason = _LOST.format(stage="fetch", status=status, job=FETCH.rq_id(object_id))
    records.end_object(object_id, reason)
