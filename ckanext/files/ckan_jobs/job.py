"""RQ's job, kept in a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, cast

import rq.job
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from ckanext.files.background import ArgumentError
from ckanext.files.background.call import is_registered
from ckanext.files.background.values import storable_text

from . import payload, store
from .errors import DuplicateJobError, ForgedJobError, RedisNeededError, refuse
from .store import Row

_STATUS = {
    "todo": "queued",
    "scheduled": "scheduled",
    "deferred": "deferred",
    "doing": "started",
    "succeeded": "finished",
    "failed": "failed",
    "cancelled": "canceled",
    "aborted": "stopped",
}
"""RQ's words for the states that :class:`~.store.Row` has."""

_UNKNOWN = dt.datetime(1970, 1, 1)
"""When a job was asked for that this site has not signed."""


class _NoRedis:
    """Stands in for a connection to Redis where RQ wants one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RedisNeededError(f"RQ asked Redis for {name}, but these jobs are in PostgreSQL")


NO_REDIS: Any = _NoRedis()


class Job(rq.job.Job):
    """A job as RQ has it. Its state is in the row: what changes the job is written at once."""

    _stored: payload.Payload | None = None
    """What the row has, as far as this object knows."""

    _row_id: str | None = None
    """The id that the row has, where ``id`` is the one of a later run."""

    _job_id: int | None = None
    """Which row it is: a newer job may take its id."""

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - as RQ calls it
        connection: Any = None,
        serializer: Any = None,
    ) -> None:
        super().__init__(connection=NO_REDIS, serializer=serializer)
        self._id = id  # RQ 2 refuses ids that RQ 1 has given

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Job:  # noqa: A002
        """Return the job with an id.

        :raises NoSuchJobError: there is none, or it was deleted.
        """
        [job] = cls.fetch_many([id], serializer=serializer)
        if job is None:
            raise NoSuchJobError(f"There is no job {id}")
        return job

    @classmethod
    def fetch_many(
        cls, job_ids: Iterable[str], connection: Any = None, serializer: Any = None
    ) -> Any:
        rows = store.find(job_ids := list(job_ids))
        found = {rq_id: cls.from_row(row, serializer, rq_id) for rq_id, row in rows.items()}
        return [found.get(rq_id) for rq_id in job_ids]

    @classmethod
    def from_row(cls, row: Row, serializer: Any = None, run_id: str | None = None) -> Job:
        """Return the job of a row. One that this site has not signed has nothing but its id.

        :param run_id: the id of the run, see :func:`.rq_ids.of_run`.
        """
        job = cls(run_id or row.rq_id, serializer=serializer)
        job._row_id = row.rq_id
        job._read(row)
        return job

    @classmethod
    def exists(cls, job_id: str, connection: Any = None) -> bool:
        return job_id in store.find([job_id])

    @property
    def row_id(self) -> str:
        """The id that the row has: each later run of a job has an id of its own."""
        return self._row_id or self.id

    @property
    def dependency_ids(self) -> Any:
        """The jobs that end before this one begins."""
        return list(self._dependency_ids)

    @property
    def options_of_redis(self) -> dict[str, Any]:
        """What RQ of CKAN 2.12 can do with a job that has run, and our workers cannot."""
        return {
            "repeat": getattr(self, "repeats_left", None),
            "webhooks": getattr(self, "webhooks", None),
        }

    @property
    def task_name(self) -> str:
        """The path of the function, also of a method of an object, as tables can hold it."""
        path = str(self.func_name)
        if self.instance is not None:
            owner = self.instance if isinstance(self.instance, type) else type(self.instance)
            path = f"{owner.__module__}.{owner.__qualname__}.{path}"
        return storable_text(path)

    @property
    def title(self) -> str | None:
        """The title that the caller of ``toolkit.enqueue_job`` gave."""
        title = self.meta.get("title")
        return None if title is None else str(title)

    def put(
        self, at: dt.datetime | None = None, at_front: bool = False, unique: bool = False
    ) -> None:
        """Write the row of a new job into the queue that ``origin`` names.

        :raises DuplicateJobError: it is to be unique, and a job with its id waits or runs.
        :raises ArgumentError: the function is a task, which takes its arguments another way.
        :raises TextError: the tables cannot hold an id, or the name of the queue.
        """
        store.check(self.origin, self.id, *self.dependency_ids)
        if is_registered(self.task_name):
            raise ArgumentError(f"{self.task_name} is a background task: use its method delay()")
        depends_on, allow_failure = self._rows_waited_for(), bool(self.allow_dependency_failures)
        place = store.Place(self.origin, self.task_name, at, at_front, depends_on, allow_failure)
        self._status = rq.job.JobStatus.SCHEDULED if at else rq.job.JobStatus.QUEUED
        self._row_id = None  # a later run that is asked for again is a job of its own
        self._stored = self._payload()
        self._job_id = store.put(self.id, self._stored, place, self.title, unique=unique)
        if self._job_id is None:
            raise DuplicateJobError(f"Job {self.id} waits or runs already")
        if depends_on:
            self.get_status()  # they may have ended

    def _rows_waited_for(self) -> list[str]:
        """Return the ids of the rows: a dependency may be named by the id of a later run."""
        found = store.find(self.dependency_ids) if self.dependency_ids else {}
        return [found[id_].rq_id if id_ in found else id_ for id_ in self.dependency_ids]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write what was changed. ``toolkit.enqueue_job`` calls this also where nothing was.

        If a newer job has taken the id, that one is not changed.
        """
        changed = self._payload()
        if self._job_id is not None and changed != self._stored:
            store.save(self._job_id, changed, self.title)
            self._stored = changed

    save_meta = save

    def refresh(self) -> None:
        """Read the row again.

        :raises NoSuchJobError: it was deleted.
        """
        if (row := self._row()) is None:
            raise NoSuchJobError(f"There is no job {self.id}")
        self._read(row)

    def get_meta(self, refresh: bool = True) -> dict[Any, Any]:
        if refresh:
            self.refresh()
        return self.meta

    def get_status(self, refresh: bool = True) -> Any:
        """Return the state in RQ's words.

        :raises InvalidJobOperation: the job was deleted.
        """
        if refresh:
            if (row := self._row()) is None:
                raise InvalidJobOperation(f"There is no job {self.id}")
            self._status = _status(row)
        return self._status

    def return_value(self, refresh: bool = False) -> Any:
        """Return what the function has returned.

        None if the job has not succeeded, or ``result_ttl`` is over.

        :raises ForgedJobError: another program has written the value.
        """
        if refresh or self._result is None:
            stored, serializer = store.result(self.row_id), cast(Any, self.serializer)
            self._result = stored and serializer.loads(payload.verified_result(self.row_id, stored))
        return self._result

    @property
    def result(self) -> Any:
        """What the function has returned, by its old name."""
        return self.return_value()

    def cancel(
        self,
        pipeline: Any = None,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
    ) -> None:
        """Cancel the job. One that a worker runs goes on, as with RQ.

        :raises RedisNeededError: the jobs that wait for this one are to begin.
        :raises InvalidJobOperation: it was cancelled before.
        """
        refuse(pipeline=pipeline, enqueue_dependents=enqueue_dependents)
        if self.is_canceled:
            raise InvalidJobOperation(f"Job {self.id} is cancelled already")
        store.cancel(self.row_id)

    def delete(
        self,
        pipeline: Any = None,
        remove_from_queue: bool = True,
        delete_dependents: bool = False,
    ) -> None:
        """Cancel the job likewise, and give up its id. The row stays, as history.

        :raises RedisNeededError: the jobs that wait for this one are to be deleted, too.
        """
        refuse(pipeline=pipeline, delete_dependents=delete_dependents)
        store.drop(self.row_id)

    def requeue(self, at_front: bool = False) -> Job:
        """Run the job again.

        :raises RedisNeededError: it is to begin before others.
        :raises InvalidJobOperation: it has not failed.
        """
        refuse(at_front=at_front)
        if not store.retry(self.row_id):
            raise InvalidJobOperation(f"Job {self.id} has not failed")
        return self

    @property
    def exc_info(self) -> str | None:
        """The traceback of a job that has failed."""
        return store.traceback(self.row_id)

    def check(self) -> None:
        """:raises ForgedJobError: this site has not signed the job."""
        if not self.data:
            raise ForgedJobError(self.description)

    def perform(self) -> Any:
        """Run the function here and now, as ``rq.get_current_job()``."""
        rq.job._job_stack.push(self)  # noqa: SLF001 - RQ has no other place for this
        try:
            self._result = self._execute()
        finally:
            rq.job._job_stack.pop()  # noqa: SLF001
        return self._result

    def _payload(self) -> payload.Payload:
        """:raises ForgedJobError: this site has not signed the job; a change would."""
        self.check()
        # enqueue_job adds the title that it was not given: the row need not change for that
        meta = self.serializer.dumps({"title": None, **self.meta})
        return payload.pack(self.row_id, {**self.to_dict(include_result=False), "meta": meta})

    def _row(self) -> Row | None:
        return store.find([self.row_id]).get(self.row_id)

    def _read(self, row: Row) -> None:
        try:
            self.restore(payload.unpack(row.rq_id, row.payload))
        except ForgedJobError as error:
            # who lists the queue must see it, and RQ refuses to run what it cannot read
            self.created_at, self.description, self.data = _UNKNOWN, str(error), b""
        self.origin = row.origin
        self._job_id, self._stored = row.job_id, row.payload
        self._status = _status(row)


def _status(row: Row) -> Any:
    return rq.job.JobStatus(_STATUS[row.status])
