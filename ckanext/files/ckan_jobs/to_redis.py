"""From rows to Redis: for a site that goes back to RQ.

One commit cancels the jobs that wait, and notes them in ``files_rq_outbox``. After that each
job goes to Redis together with a mark that it is there, in one step, and then its note is
deleted. A kill at any point loses none: the next run goes on with the notes, and skips those
whose jobs have the mark. Until then the noted jobs are not purged, nor run again here. If a
new job takes the id of one, that one stays, without its note.

Rows that this site has not signed stay.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

import rq
from ckan.lib import jobs
from ckan.lib.redis import connect_to_redis
from rq.job import JobStatus
from rq.registry import ScheduledJobRegistry

from . import commit, payload, store
from .errors import ForgedJobError, MoveError
from .job import Job
from .moving import Moved, one_at_a_time

_BUSY = ("queued", "scheduled", "deferred", "started")
"""RQ's states of jobs that have not ended."""


_HARVESTING = "ckanext.files.harvest_jobs."
"""Begins the paths of functions for which ckanext-harvest has queues of its own without us."""


class _Noted(NamedTuple):
    """A job in the outbox, or one that could go there."""

    job_id: int
    rq_id: str
    origin: str
    status: str
    at: dt.datetime | None
    """The time for which it is scheduled."""

    is_of_task: bool
    """Whether the next step is a background task's: RQ knows no such steps."""

    payload: payload.Payload


def count() -> int:
    """Return how many jobs would go to Redis, if nothing hinders them."""
    return store.read("sendable_count", **_prefix())[0][0]


def run() -> Iterator[Moved]:
    """Give RQ the jobs that wait, in the order in which they would begin.

    :raises MoveError: workers run jobs, or another process moves jobs.
    """
    redis: Any = connect_to_redis()
    mark = f"ckanext-files:returned:{jobs.add_queue_name_prefix('')}"
    with one_at_a_time():
        _check_that_none_runs()
        going: dict[str, int] = {}
        yield from _choose(redis, going)
        _note(redis, mark, [*going.values()])
        outbox = _all("outbox")
        left = {rq_id for _, rq_id in outbox}
        for job_id, rq_id in outbox:
            noted = _noted(job_id) if _is_noted(job_id) else None
            if noted and (reason := _flaw(redis, noted)):
                yield Moved(rq_id, reason)
            elif noted:
                _push(redis, mark, noted, left)
                store.change("sent", job_id=job_id)
                left.discard(rq_id)
                yield Moved(rq_id)
        _forget(redis, mark)


def _note(redis: Any, mark: str, job_ids: list[int]) -> None:
    """Cancel jobs, all or none, and note that they are on their way.

    :raises MoveError: some do not wait any more.
    """
    _forget(redis, mark)
    if store.change("send", jobs=job_ids) != len(job_ids):
        raise MoveError(
            "Jobs have begun or ended meanwhile. Stop the workers, and run this command again"
        )


def _forget(redis: Any, mark: str) -> None:
    """Delete the marks of all jobs, unless some are noted yet."""
    if not _all("outbox"):
        redis.delete(mark)


def _choose(redis: Any, going: dict[str, int]) -> Iterator[Moved]:
    """Put the jobs that can go to Redis into a dictionary, and yield the others."""
    later: dict[int, str] = dict(map(tuple, _all("sendable")))
    waits_for: dict[int, list[str]] = {}
    for job_id, rq_id in [*later.items()]:
        noted = _noted(job_id)
        reason = _obstacle(redis, noted) if noted else None
        if reason or not noted:
            del later[job_id]
        if reason:
            yield Moved(rq_id, reason)
        waits_for[job_id] = [id_ for (id_,) in store.read("unmet", job_id=job_id)]
    while ready := [job_id for job_id in later if all(id_ in going for id_ in waits_for[job_id])]:
        going.update({later.pop(job_id): job_id for job_id in ready})
    for job_id, rq_id in later.items():
        others = ", ".join(waits_for[job_id])
        yield Moved(rq_id, f"it waits for jobs that stay in PostgreSQL: {others}")


def _check_that_none_runs() -> None:
    """Refuse to go on while jobs run: others may wait for these.

    :raises MoveError: they do.
    """
    if running := store.read("running_count", **_prefix())[0][0]:
        raise MoveError(
            f"Workers run {running} of the jobs, or were killed while they did. Stop the workers "
            "with SIGTERM, and run this command again; if one was killed, start a worker, which "
            "takes such jobs over, and stop it"
        )


def _obstacle(redis: Any, noted: _Noted) -> str | None:
    """Return why a job cannot go to Redis; None if it can."""
    if noted.is_of_task:
        return "it goes on with a background task, which RQ does not know"
    if flaw := _flaw(redis, noted):
        return flaw
    if _status(redis, noted.rq_id) in _BUSY:
        return "a job with this id waits or runs in Redis"
    return None


def _flaw(redis: Any, noted: _Noted) -> str | None:
    """Return why RQ can have no such job; None if it can."""
    try:
        function = _read_job(redis, noted).func_name
    except ForgedJobError as error:
        return str(error)
    except Exception as error:
        # RQ of CKAN 2.12 refuses some ids, and says so
        return f"RQ cannot read it: {type(error).__name__}: {error}"
    if function.startswith(_HARVESTING):
        return "it is harvesting, which has queues of its own without this extension"
    return None


def _push(redis: Any, mark: str, noted: _Noted, left: set[str]) -> None:
    """Write a job into Redis, once.

    :param left: the ids of jobs that are to follow, in this run or a later one.
    """
    job = _read_job(redis, noted)
    named = job._dependency_ids  # noqa: SLF001 - its public name is for what Redis has of them

    def write(pipeline: Any) -> None:
        if pipeline.hexists(mark, noted.job_id):
            return
        deferred = named if noted.status == "deferred" else []
        waits_for = [id_ for id_ in deferred if id_ in left or not _has_ended(redis, job, id_)]
        pipeline.multi()
        pipeline.hset(mark, noted.job_id, 1)
        _enqueue(pipeline, job, noted, waits_for)

    redis.transaction(write, mark, *map(Job.key_for, named))


def _has_ended(redis: Any, job: Any, rq_id: str) -> bool:
    """Return whether RQ would not let a job wait for another one, which it may have forgotten."""
    status = _status(redis, rq_id)
    return status in (None, "finished") or bool(
        job.allow_dependency_failures and status == "failed"
    )


def _enqueue(pipeline: Any, job: Any, noted: _Noted, waits_for: list[str]) -> None:
    """Do what RQ does, with one pipeline: its own methods for this use several."""
    queue = rq.Queue(noted.origin, connection=job.connection)
    pipeline.sadd(queue.redis_queues_keys, queue.key)
    if waits_for:
        job._dependency_ids = waits_for  # noqa: SLF001 - likewise
        job.set_status(JobStatus.DEFERRED, pipeline=pipeline)
        job.register_dependency(pipeline=pipeline)
    elif noted.at:
        job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
        key = ScheduledJobRegistry.key_template.format(noted.origin)
        pipeline.zadd(key, {noted.rq_id: noted.at.timestamp()})
    else:
        job.set_status(JobStatus.QUEUED, pipeline=pipeline)
        pipeline.rpush(queue.key, noted.rq_id)
    job.save(pipeline=pipeline)
    job.cleanup(ttl=job.ttl, pipeline=pipeline)


def _read_job(redis: Any, noted: _Noted) -> Any:
    """Return RQ's job of a row.

    :raises ForgedJobError: this site has not signed it.
    """
    job = rq.job.Job(noted.rq_id, connection=redis)
    job.restore(payload.unpack(noted.rq_id, noted.payload))
    job.origin = noted.origin
    return job


def _status(redis: Any, rq_id: str) -> str | None:
    found = redis.hget(Job.key_for(rq_id), "status")
    return found.decode() if found else None


def _is_noted(job_id: int) -> bool:
    """Return whether a job is still to go: another one may have taken its id meanwhile."""
    return store.read("is_noted", job_id=job_id)[0][0]


def _noted(job_id: int) -> _Noted | None:
    found = [
        _Noted(*row[:-2], payload=payload.Payload(*map(bytes, row[-2:])))
        for row in store.read("noted", job_id=job_id)
    ]
    return found[0] if found else None


def _all(name: str) -> commit.Rows:
    return store.read(name, **_prefix())


def _prefix() -> dict[str, str]:
    return {"prefix": jobs.add_queue_name_prefix("")}
