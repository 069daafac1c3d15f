"""RQ's queue, of jobs that are rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import rq
from rq.exceptions import NoSuchJobError

from . import store
from .errors import refuse
from .job import NO_REDIS, Job
from .registry import Registry


class Waiting(Sequence[Any]):
    """A list that is read when it is used. A slice at the beginning reads no more than it has."""

    def __init__(self, read: Callable[[int, int], list[Any]], count: Callable[[], int]) -> None:
        self._read = read
        self._count = count

    def __len__(self) -> int:
        return self._count()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read(0, -1))

    def __getitem__(self, index: Any) -> Any:
        return self._read(0, _length(index))[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # pyright: ignore[reportAssignmentType] - as a list

    def __add__(self, other: list[Any]) -> list[Any]:
        return [*self, *other]

    def __radd__(self, other: list[Any]) -> list[Any]:
        return [*other, *self]


def _length(index: Any) -> int:
    """Return how many jobs from the first one an index or a slice needs; -1 for all."""
    if not isinstance(index, slice):
        return index + 1 if index >= 0 else -1
    if index.stop is None or index.step not in (None, 1) or (index.start or 0) < 0:
        return -1
    return max(index.stop, -1)


class Queue(rq.Queue):
    """A queue as RQ has it, of jobs that begin as soon as a worker is free.

    Jobs that wait for a time are in ``scheduled_job_registry``, jobs that wait for other jobs in
    ``deferred_job_registry``. The other registries are ``started``, ``finished``, ``failed`` and
    ``canceled_job_registry``.
    """

    job_class = Job

    def __init__(self, name: str) -> None:
        super().__init__(name, connection=NO_REDIS)

    def enqueue_job(
        self, job: Any, pipeline: Any = None, at_front: bool = False, unique: bool = False
    ) -> Any:
        """Write a job that begins when those on which it depends have ended.

        :raises DuplicateJobError: it is to be unique, and a job with its id waits or runs.
        """
        refuse(pipeline=pipeline)
        job.enqueued_at = dt.datetime.now(dt.timezone.utc)
        return self._put(job, None, at_front or bool(job.enqueue_at_front), unique)

    def schedule_job(
        self, job: Any, datetime: dt.datetime, pipeline: Any = None, unique: bool = False
    ) -> Any:
        """Write a job that begins at a time, which is local time if it has no zone.

        :raises DuplicateJobError: as for a job without a time.
        :raises RedisNeededError: the job depends on others.
        """
        refuse(pipeline=pipeline, depends_on=job.dependency_ids)
        return self._put(job, datetime.astimezone(), bool(job.enqueue_at_front), unique)

    def _put(self, job: Any, at: dt.datetime | None, at_front: bool, unique: bool) -> Any:
        refuse(**job.options_of_redis)
        job.origin = self.name
        if job.timeout is None:
            job.timeout = self._default_timeout
        job.put(at, at_front, unique)
        return job

    def get_jobs(self, offset: int = 0, length: int = -1) -> list[Any]:
        """Return the jobs that wait, the first one first; -1 for all."""
        limit = None if length < 0 else length
        return [Job.from_row(row, self.serializer) for row in self._rows(offset, limit)]

    def get_job_ids(self, offset: int = 0, length: int = -1) -> list[str]:
        """Return their ids likewise."""
        return [row.rq_id for row in self._rows(offset, None if length < 0 else length)]

    def _rows(self, offset: int, limit: int | None) -> Sequence[store.Row]:
        return store.waiting(self.name, offset, limit)

    @property
    def jobs(self) -> Any:
        """The jobs that wait. CKAN slices this list: a long queue is not read for that."""
        return Waiting(self.get_jobs, lambda: self.count)

    @property
    def job_ids(self) -> Any:
        return Waiting(self.get_job_ids, lambda: self.count)

    @property
    def count(self) -> int:
        return store.count(self.name)

    def fetch_job(self, job_id: str) -> Any:
        """Return a job of this queue, in any state; None if there is none."""
        try:
            job = Job.fetch(job_id, serializer=self.serializer)
        except NoSuchJobError:
            return None
        return job if job.origin == self.name else None

    def get_job_position(self, job_or_id: Any) -> int | None:
        job_id = _row_id(job_or_id)
        ids = self.get_job_ids()
        return ids.index(job_id) if job_id in ids else None

    def remove(self, job_or_id: Any, pipeline: Any = None) -> Any:
        """Cancel a job, unless a worker runs it."""
        refuse(pipeline=pipeline)
        return store.cancel(_row_id(job_or_id))

    def empty(self) -> Any:
        """Delete the jobs that wait; return how many."""
        return store.empty(self.name)

    def delete(self, delete_jobs: bool = True) -> None:
        """Delete the jobs that wait. A queue has no row of its own."""
        if delete_jobs:
            self.empty()


def _row_id(job_or_id: Any) -> str:
    return getattr(job_or_id, "row_id", job_or_id)


def _registry(state: str) -> property:
    return property(lambda queue: Registry(queue.name, state))


for _name, _state in {
    "scheduled": "scheduled",
    "deferred": "deferred",
    "started": "doing",
    "finished": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}.items():
    setattr(Queue, f"{_name}_job_registry", _registry(_state))
