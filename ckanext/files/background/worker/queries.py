"""The worker's own statements, beside those that end its steps.

They run on one connection, which commits each statement by itself and does not
wait for the disk. A crash of the database may undo the last statements: a job whose
claim is undone waits again.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import UniqueViolation

from ckanext.files import advisory_locks
from ckanext.files.transaction.connection import connect

from ..context import JobContext
from ..job import ClaimedJob
from ..retry import Failure
from ..sql import driver_query
from ..step import fail
from .stalled import SilentWorker, Stalled


class OwnedJob(NamedTuple):
    """A job that belongs to a worker, according to the tables."""

    id: int
    attempts: int
    step: int
    abort_requested: bool
    interrupt: bool
    """Whether the request is to interrupt the running step."""

    @property
    def key(self) -> tuple[int, int]:
        """As :attr:`.Execution.key`."""
        return self.id, self.attempts


class WorkerQueries:
    """Runs statements for all threads of a worker."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        self._stalled = Stalled()
        self.rescue_pending = True
        """Whether jobs of our queues are perhaps rescued soon: their worker has no lock."""

        self.worker_id = 0

    def name_of_tasks(self, worker_id: int) -> str:
        """Return the name of the sessions that tasks of a worker open by themselves."""
        return name_of_tasks(worker_id, self._engine.url.database)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def register(self, queues: Sequence[str] = (), concurrency: int = 1) -> int:
        """Write the rows of the worker; return its id."""
        self.worker_id = self._value(
            "register_worker",
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=list(queues),
            concurrency=concurrency,
        )
        self.close()  # the next connection has the worker's application name
        return self.worker_id

    def unregister(self) -> None:
        """Delete the rows of the worker, unless it still has jobs: other workers rescue these."""
        if not self.owned():
            self._value("unregister_worker", worker=self.worker_id)

    def beat(self) -> bool:
        """Write a heartbeat; return whether the worker's row is still there."""
        with self._executed("heartbeat", worker=self.worker_id) as cursor:
            return bool(cursor.rowcount)

    def claim(self, queues: Sequence[str]) -> ClaimedJob | None:
        """Claim the next job."""
        try:
            claimed = self._value("claim_job", queues=list(queues) or None, worker=self.worker_id)
        except UniqueViolation:
            return None  # another worker has just claimed a job with the same lock
        return ClaimedJob.read(claimed)

    def end(self, values: Mapping[str, Any]) -> str:
        """Write the end of a successful step that is not atomic; return the outcome."""
        return self._value("end_open_step", **values)

    def fail(self, job: ClaimedJob, context: JobContext, failure: Failure) -> bool:
        """Write that a step failed; return whether the job was still this worker's."""
        with self._cursor() as cursor:
            return fail(job, context, failure, self.worker_id, cursor)

    def publish(self, job: ClaimedJob, context: JobContext) -> bool:
        """Write the progress of a running step; return False if the step is about to end."""
        with self._executed(
            "publish_progress",
            job=job.id,
            worker=self.worker_id,
            attempts=job.attempts,
            percent=context.percent,
            text=context.text,
        ) as cursor:
            return bool(cursor.rowcount)

    def release(self, job_id: int, attempts: int, max_rescues: int | None) -> None:
        """Leave a job to any worker, after its step has lost its connection or no slot runs it.

        :param max_rescues: how often that may happen at one step; None does not count it.
        """
        self._release(self.worker_id, job_id, attempts, max_rescues)

    def release_all(self, kept: Iterable[int] = ()) -> None:
        """Undo all claims of the worker, which stops; skip jobs that are locked.

        :param kept: ids of jobs that stay the worker's: others rescue them.
        """
        self._value("unclaim_jobs", worker=self.worker_id, kept=list(kept))

    def owned(self) -> list[OwnedJob]:
        """Return the jobs that belong to this worker."""
        with self._executed("claimed_jobs", worker=self.worker_id) as cursor:
            return [OwnedJob(*row) for row in cursor.fetchall()]

    def rescue(
        self, frozen_after: float, max_rescues: int, queues: Sequence[str] = ()
    ) -> dict[int, int]:
        """Release the jobs of stalled workers: dead, or frozen.

        First it ends their database sessions: a frozen worker can commit nothing
        when it wakes up.

        :param queues: the queues of this worker, or none for all.
        :returns: the number of jobs by worker.
        """
        values = {"key": advisory_locks.WORKER, "worker": self.worker_id, "silence": frozen_after}
        values["queues"] = list(queues) or None
        with self._executed("silent_workers", **values) as cursor:
            silent = [SilentWorker(*row) for row in cursor.fetchall()]
        rescued = {}
        stalled = self._stalled.among(silent, frozen_after)
        for worker_id in stalled:
            self._end_all_sessions(worker_id)
            rescued[worker_id] = self._release(worker_id, None, None, max_rescues)
        self._value("requeue_orphans")
        waits_for = [each for each in silent if each.is_unlocked and each.id not in stalled]
        self.rescue_pending = any(each.has_our_queue for each in waits_for)
        return {worker_id: count for worker_id, count in rescued.items() if count}

    def look_after_rq_jobs(self) -> int:
        """Let jobs of ``toolkit.enqueue_job`` begin whose dependencies have ended; return how many.

        Results whose time is over are emptied, too. It waits for no lock.
        """
        return self._value("look_after_rq_jobs")

    def _end_all_sessions(self, worker_id: int) -> None:
        names = {"name": application_name(worker_id), "tasks_name": self.name_of_tasks(worker_id)}
        with self._executed("end_all_sessions", **names):
            pass

    def forget_dead(self) -> None:
        """Delete the rows of workers that died long ago."""
        with self._executed("delete_dead_workers", key=advisory_locks.WORKER):
            pass

    def next_due(self) -> float | None:
        """Return the seconds until a job that was put off is due; None if there is none."""
        due = self._value("next_due")
        return None if due is None else float(due)

    def cancel_statements(self, pids: Iterable[int]) -> None:
        """Interrupt the statements of sessions of the worker."""
        self._signal("cancel_statements", pids)

    def end_sessions(self, pids: Iterable[int]) -> None:
        """End sessions of the worker, so that they cannot commit any more."""
        self._signal("end_sessions", pids)

    def _signal(self, query: str, pids: Iterable[int]) -> None:
        # by name, too: a process id may belong to another session by now
        self._value(query, pids=list(pids), name=application_name(self.worker_id))

    def _release(
        self, worker_id: int, job_id: int | None, attempts: int | None, max_rescues: int | None
    ) -> int:
        return self._value(
            "release_jobs",
            worker=worker_id,
            job=job_id,
            attempts=attempts,
            max_rescues=max_rescues,
        )

    def _value(self, query: str, /, **values: Any) -> Any:
        """Run a named query; return the first value of its first row."""
        with self._executed(query, **values) as cursor:
            return cursor.fetchone()[0]

    @contextmanager
    def _executed(self, query: str, /, **values: Any) -> Iterator[Any]:
        """Run a named query; give the cursor with its result."""
        with self._cursor() as cursor:
            cursor.execute(driver_query(query), values)
            yield cursor

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._engine)
                self._connection.cursor().execute("SET synchronous_commit = off")
            try:
                with self._connection.cursor() as cursor:
                    yield cursor
            except (OperationalError, InterfaceError):
                if self._connection.closed:
                    self._drop()
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def application_name(worker_id: int) -> str:
    """Return the name of the sessions of a worker by CKAN's engine, and by its own."""
    return f"ckan-files-worker:{worker_id}"


def name_of_tasks(worker_id: int, database: str) -> str:
    """Return the name of the sessions that tasks of a worker open by themselves.

    They may be in another database, where workers of other sites have sessions, too. PostgreSQL
    cuts names after 63 bytes and replaces what is not ASCII: a hash stands for the database.
    """
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"{application_name(worker_id)}@{digest}"
