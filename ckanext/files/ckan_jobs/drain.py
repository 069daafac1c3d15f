"""From Redis to rows: what RQ has left there when a site loads ``files_jobs``.

Each job is in Redis until the row is committed, and is deleted there after that. A kill at any
point loses none: the next run goes on with the job that the killed one held. It can see whether
that has its row already, as rows have growing ids: then there is a row with the id of the job
that is newer than the run that held it, and was asked for at the same time. Another job that has
taken the id meanwhile was asked for later.

RQ's workers may go on meanwhile. What a worker of RQ runs, what cannot be read, and what waits
for jobs that Redis does not have, stays in Redis.

Redis has no signatures: what it has was written by this site, or by another program that can
write there, and could run code on this site before, too. The jobs are unpickled, and signed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from rq.job import JobStatus

from . import payload, store
from .errors import ForgedJobError, TextError
from .job import Job
from .moving import Moved, one_at_a_time
from .redis_jobs import STATES, Entry, RedisJobs

_OF_A_RUN = {"started_at", "ended_at", "last_heartbeat", "worker_name", "result", "exc_info"}
"""What RQ's hash has of a run that did not come to its end."""

_UNFINISHED = ("todo", "scheduled", "deferred", "doing")


class _StaysError(Exception):
    """Why a job stays."""


def run() -> Iterator[Moved]:
    """Make the jobs of this site in Redis rows, one commit each.

    Those that had started come first, then each queue in its order.

    :raises MoveError: another process moves jobs.
    """
    redis = RedisJobs()
    with one_at_a_time():
        after = store.last_id()
        for entry in redis.held():
            yield _finish(redis, entry)
        for state in STATES:
            for entry in _dependencies_first(redis, redis.entries(state)):
                entry.after = after
                yield from _take(redis, entry)


def _take(redis: RedisJobs, entry: Entry) -> Iterator[Moved]:
    """Move a job, unless it has ended meanwhile."""
    values = redis.values(entry.rq_id)
    if not values:
        redis.forget(entry)  # as RQ does
        return
    try:
        store.check(entry.queue, entry.rq_id)
        job = _read(entry.rq_id, values)
        _time(entry)
        _check_is_free(redis, entry, values)
        if entry.state == "deferred":
            entry.depends_on = _dependencies(redis, job)
    except (_StaysError, TextError) as reason:
        yield Moved(entry.rq_id, str(reason))
        return
    if redis.hold(entry):
        yield _write(redis, entry, job, values)


def _finish(redis: RedisJobs, entry: Entry) -> Moved:
    """Go on with a job that a killed process held."""
    values = redis.values(entry.rq_id)
    try:
        if values and not _is_written(entry, values):
            return _write(redis, entry, _read(entry.rq_id, values), values)
    except _StaysError as reason:
        redis.put_back(entry)
        return Moved(entry.rq_id, str(reason))
    redis.release(entry.rq_id)
    return Moved(entry.rq_id)


def _write(redis: RedisJobs, entry: Entry, job: Job, values: dict[str, bytes]) -> Moved:
    """Write the row of a job that is held, and delete the job in Redis."""
    place = store.Place(
        entry.queue,
        job.task_name,
        _time(entry),
        depends_on=entry.depends_on,
        allow_failure=bool(job.allow_dependency_failures),
    )
    kept = {name: value for name, value in values.items() if name not in _OF_A_RUN}
    packed = payload.pack(entry.rq_id, kept)
    try:
        job_id = store.put(entry.rq_id, packed, place, job.title, unique=True)
        # a lost connection may hide that it was written, and a run may have changed it since
        if job_id is None and not _is_written(entry, values):
            raise _StaysError("a job with this id waits or runs in PostgreSQL")
    except _StaysError as reason:
        redis.put_back(entry)
        return Moved(entry.rq_id, str(reason))
    redis.release(entry.rq_id)
    return Moved(entry.rq_id)


def _time(entry: Entry) -> dt.datetime | None:
    """Return the time before which a job does not begin.

    :raises _StaysError: it is out of range.
    """
    if entry.state != "scheduled" or entry.score is None:
        return None
    try:
        return dt.datetime.fromtimestamp(entry.score, dt.timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise _StaysError(f"its time is out of range: {error}") from error


def _is_written(entry: Entry, values: dict[str, bytes]) -> bool:
    """Return whether a job that is held has its row."""
    return any(
        _asked_at(entry.rq_id, row) == values.get("created_at", b"")
        for row in store.written(entry.rq_id, entry.after)
    )


def _asked_at(rq_id: str, row: payload.Payload) -> bytes | None:
    """Return what no run changes of a job, unlike the rest of its hash."""
    try:
        return payload.unpack(rq_id, row).get(b"created_at", b"")
    except ForgedJobError:
        return None


def _read(rq_id: str, values: dict[str, bytes]) -> Job:
    """:raises _StaysError: it cannot be unpickled, for example as a module is not there."""
    if "data" not in values:
        raise _StaysError("it has no function")
    job = Job(rq_id)
    try:
        job.restore({name.encode(): value for name, value in values.items()})
        _ = job.task_name, job.title  # reads what is pickled
    except Exception as error:
        cause = error.__cause__ or error.__context__ or error
        raise _StaysError(f"it cannot be read: {type(cause).__name__}: {cause}") from error
    for option, value in job.options_of_redis.items():
        if value:
            raise _StaysError(f"jobs in PostgreSQL have no option {option}")
    return job


def _check_is_free(redis: RedisJobs, entry: Entry, values: dict[str, bytes]) -> None:
    """:raises _StaysError: a worker of RQ may run it, or a row has its id."""
    if redis.may_run(entry, values):
        raise _StaysError("a worker of RQ runs it, or was killed less than some minutes ago")
    row = store.find([entry.rq_id]).get(entry.rq_id)
    if row and row.rq_id == entry.rq_id and row.status in _UNFINISHED:
        raise _StaysError("a job with this id waits or runs in PostgreSQL")


def _dependencies(redis: RedisJobs, job: Job) -> tuple[str, ...]:
    """Return the rows for which a job waits. What Redis has forgotten has ended, as for RQ.

    :raises _StaysError: it waits for a job that stays in Redis, or for none that is known.
    """
    rows = store.find(job.dependency_ids)
    enough = [JobStatus.FINISHED.value]
    if job.allow_dependency_failures:
        enough.append(JobStatus.FAILED.value)
    known = len(rows)
    for rq_id in job.dependency_ids:
        values = redis.values(rq_id)
        if rq_id in rows or not values:
            continue
        known += 1
        if values.get("status", b"").decode() not in enough:
            raise _StaysError(f"it waits for job {rq_id}, which stays in Redis")
    if not known:
        raise _StaysError(f"it waits for unknown jobs: {', '.join(job.dependency_ids)}")
    return tuple(row.rq_id for row in rows.values())


def _dependencies_first(redis: RedisJobs, entries: list[Entry]) -> list[Entry]:
    """Return jobs that wait for others after those."""
    by_id = {entry.rq_id: entry for entry in entries if entry.state == "deferred"}
    if not by_id:
        return entries
    try:
        order = [*TopologicalSorter({id_: _named(redis, id_) for id_ in by_id}).static_order()]
    except CycleError:
        return entries
    return [by_id[rq_id] for rq_id in order if rq_id in by_id]


def _named(redis: RedisJobs, rq_id: str) -> list[str]:
    try:
        return _read(rq_id, redis.values(rq_id)).dependency_ids
    except _StaysError:
        return []
