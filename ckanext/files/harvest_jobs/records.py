"""The tables of ckanext-harvest: what a kill or an error leaves to put right there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from ckan import model
from ckanext.harvest.model import (  # pyright: ignore[reportMissingImports]
    HarvestGatherError,
    HarvestJob,
    HarvestObject,
    HarvestObjectError,
    HarvestObjectExtra,
)

from ckanext.files.ckan_jobs import store

from .stage import FETCH

ENDED = ("COMPLETE", "ERROR")
"""States of an object after which nothing happens to it."""


def lock_in_progress(object_id: str) -> bool:
    """Lock an object for the transaction; return whether there is one that has not ended."""
    found = _objects(HarvestObject.id == object_id, *_IN_PROGRESS)
    return found.with_for_update().first() is not None


def lock_free(object_ids: Iterable[str]) -> set[str]:
    """Lock the objects that have not ended and that no transaction changes; return their ids."""
    found = _objects(HarvestObject.id.in_(list(object_ids)), *_IN_PROGRESS)
    return {object_id for (object_id,) in found.with_for_update(skip_locked=True, key_share=True)}


def objects_in_progress(job_id: str) -> list[str]:
    """Return the ids of the objects of a harvest job that have not ended."""
    found = _objects(HarvestObject.harvest_job_id == job_id, *_IN_PROGRESS)
    return [object_id for (object_id,) in found.order_by(HarvestObject.gathered)]


def in_progress(object_ids: Iterable[str]) -> list[str]:
    """Return which objects have not ended."""
    found = _objects(HarvestObject.id.in_(list(object_ids)), *_IN_PROGRESS)
    return [object_id for (object_id,) in found]


def is_sent(job_id: str) -> bool:
    """Return whether fetch has had an object of a harvest job: then it has had all of them.

    ``retry_times`` of an object says so also when its background job is purged.
    """
    found = _objects(HarvestObject.harvest_job_id == job_id)
    return bool(
        found.filter(HarvestObject.retry_times > 0).count()
        or store.statuses(FETCH.rq_id(object_id) for (object_id,) in found)
    )


def is_gathered(job_id: str) -> bool:
    """Return whether the gather stage of a harvest job has ended, in whatever way."""
    return bool(_jobs(HarvestJob.id == job_id, HarvestJob.gather_finished.is_not(None)).count())


def delete_gathered(job_id: str) -> None:
    """Delete the objects of a harvest job, as ckanext-harvest does when gathering fails."""
    objects = _objects(HarvestObject.harvest_job_id == job_id).scalar_subquery()
    for child in (HarvestObjectExtra, HarvestObjectError):
        _delete(child, child.harvest_object_id.in_(objects))
    _delete(HarvestObject, HarvestObject.harvest_job_id == job_id)
    _delete(HarvestGatherError, HarvestGatherError.harvest_job_id == job_id)
    model.Session.commit()


def end_object(object_id: str, reason: str) -> None:
    """Give an object the state ERROR, unless it has ended meanwhile."""
    if _update(
        HarvestObject,
        (HarvestObject.id == object_id, *_IN_PROGRESS),
        {"state": "ERROR", "report_status": "errored"},
    ):
        model.Session.add(HarvestObjectError(harvest_object_id=object_id, message=reason))
    model.Session.commit()


def end_gathering(job_id: str, reason: str) -> None:
    """Note that the gather stage of a harvest job has failed, so that the job can finish."""
    delete_gathered(job_id)
    model.Session.add(HarvestGatherError(harvest_job_id=job_id, message=reason))
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
    _update(HarvestJob, (HarvestJob.id == job_id,), {"gather_finished": now})
    model.Session.commit()


def running_jobs() -> Sequence[str]:
    """Return the ids of the harvest jobs that run."""
    return [job_id for (job_id,) in _jobs(HarvestJob.status == "Running")]


_IN_PROGRESS = (HarvestObject.state.not_in(ENDED),)


def _objects(*conditions: Any) -> Any:
    return model.Session.query(HarvestObject.id).filter(*conditions)


def _jobs(*conditions: Any) -> Any:
    return model.Session.query(HarvestJob.id).filter(*conditions)


def _update(kind: Any, conditions: tuple[Any, ...], values: Any) -> int:
    """Return how many rows there were."""
    found = model.Session.query(kind).filter(*conditions)
    return found.update(values, synchronize_session=False)


def _delete(kind: Any, condition: Any) -> None:
    model.Session.query(kind).filter(condition).delete(synchronize_session=False)
