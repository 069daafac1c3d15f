"""The worker's own statements, beside those of the steps.

They run on one connection, which commits each by itself and does not wait for
the disk: what a crash of the database undoes here, it undoes to ``todo``.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import UniqueViolation

from ckanext.files.transaction.connection import connect

from ..context import JobContext
from ..job import ClaimedJob
from ..retry import Failure
from ..schema import SCHEMA
from ..step import fail

#: First half of the key of the advisory lock that tells that a worker lives.
ALIVE = 7_107

_DEAD = f"""
    SELECT id, free FROM (
        SELECT w.id, last_heartbeat, pg_try_advisory_xact_lock({ALIVE}, w.id::integer) AS free
        FROM {SCHEMA}.procrastinate_workers w
        WHERE w.id <> %(me)s AND EXISTS (
            SELECT FROM {SCHEMA}.procrastinate_jobs
            WHERE worker_id = w.id AND worker_id IS NOT NULL AND status = 'doing')
        OFFSET 0) AS worker
    WHERE free OR last_heartbeat < now() - make_interval(secs => %(silence)s)
"""

_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = %(name)s AND datname = current_database() AND pid <> pg_backend_pid()
"""

_EACH = """
    SELECT count({}(pid)) FROM pg_stat_activity
    WHERE pid = ANY(%(pids)s) AND application_name = %(name)s
      AND datname = current_database() AND pid <> pg_backend_pid()
"""

_FORGET = f"""
    DELETE FROM {SCHEMA}.procrastinate_workers w
    WHERE last_heartbeat < now() - interval '1 hour'
      AND pg_try_advisory_xact_lock({ALIVE}, w.id::integer)
      AND NOT EXISTS (SELECT FROM {SCHEMA}.procrastinate_jobs WHERE worker_id = w.id)
"""

_REGISTER = f"""
    WITH made AS (SELECT worker_id FROM {SCHEMA}.procrastinate_register_worker_v1())
    INSERT INTO {SCHEMA}.files_worker (worker_id, host, pid, queues, concurrency)
    SELECT worker_id, %s, %s, %s, %s FROM made RETURNING worker_id
"""

_DUE = f"""
    SELECT extract(epoch FROM min(scheduled_at) - clock_timestamp())
    FROM {SCHEMA}.procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NOT NULL
"""

_OWNED = f"""
    SELECT id, attempts, abort_requested, abort_requested AND coalesce(interrupt, false)
    FROM {SCHEMA}.procrastinate_jobs LEFT JOIN {SCHEMA}.files_job ON job_id = id
    WHERE status = 'doing' AND worker_id = %s
"""

# Before the end of the step or not at all: whoever ends it locks the job first and this row then.
_PROGRESS = f"""
    INSERT INTO {SCHEMA}.files_job AS f (job_id, percent, text)
    SELECT id, %(percent)s, %(text)s FROM {SCHEMA}.procrastinate_jobs
    WHERE id = %(job)s AND status = 'doing' AND worker_id = %(worker)s AND attempts = %(attempts)s
    FOR SHARE SKIP LOCKED
    ON CONFLICT (job_id) DO UPDATE
    SET percent = excluded.percent, text = coalesce(excluded.text, f.text)
"""


class Owned(NamedTuple):
    """A job that is a worker's, as far as the database knows."""

    id: int
    attempts: int
    abort_requested: bool
    interrupt: bool
    """Whether the request is to interrupt the running step."""


class WorkerQueries:
    """What a worker writes and asks between steps; used by all its threads."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        self.worker_id = 0

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def register(self, queues: Sequence[str] = (), concurrency: int = 1) -> int:
        """Make the worker known; return its id."""
        values = (socket.gethostname(), os.getpid(), list(queues), concurrency)
        self.worker_id = self._one(_REGISTER, values)
        self.close()  # its next connection bears its name
        return self.worker_id

    def unregister(self) -> None:
        """Forget the worker, unless it still has jobs: others rescue those, and forget it then."""
        if not self.owned():
            query = f"SELECT {SCHEMA}.procrastinate_unregister_worker_v1(%s)"
            self._one(query, (self.worker_id,))

    def beat(self) -> bool:
        """Give a sign of life; tell whether the worker is known."""
        query = f"UPDATE {SCHEMA}.procrastinate_workers SET last_heartbeat = now() WHERE id = %s"
        with self._cursor() as cursor:
            cursor.execute(query, (self.worker_id,))
            return bool(cursor.rowcount)

    def claim(self, queues: Sequence[str]) -> ClaimedJob | None:
        """Claim the next job."""
        query = f"SELECT {SCHEMA}.files_claim(%s, %s, true)"
        try:
            return ClaimedJob.read(self._one(query, (list(queues) or None, self.worker_id)))
        except UniqueViolation:
            return None  # another worker was first to take a job with the same lock

    def fail(self, claim: ClaimedJob, context: JobContext, failure: Failure) -> bool:
        """Write that a step failed; tell whether the job was still this worker's."""
        with self._cursor() as cursor:
            return fail(claim, context, failure, self.worker_id, cursor)

    def publish(self, claim: ClaimedJob, context: JobContext) -> bool:
        """Let others see the progress of a running step; False if the job is in other hands now."""
        values = {
            "job": claim.id,
            "worker": self.worker_id,
            "attempts": claim.attempts,
            "percent": context.percent,
            "text": context.text,
        }
        with self._cursor() as cursor:
            cursor.execute(_PROGRESS, values)
            return bool(cursor.rowcount)

    def release(self, job_id: int, attempts: int, most: int | None) -> None:
        """Hand back a job whose step has lost its connection, or that no slot runs.

        :param most: how often that may happen to a step; None does not count it.
        """
        self._take_away(self.worker_id, job_id, attempts, most)

    def release_all(self) -> None:
        """Hand back all jobs of the worker, which ends; not those that somebody has locked."""
        self._one(f"SELECT {SCHEMA}.files_hand_back(%s)", (self.worker_id,))

    def owned(self) -> list[Owned]:
        """Return the jobs that are this worker's."""
        with self._cursor() as cursor:
            cursor.execute(_OWNED, (self.worker_id,))
            return [Owned(*row) for row in cursor.fetchall()]

    def rescue(self, frozen_after: float, most: int) -> dict[int, int]:
        """Take the jobs of dead and frozen workers from them.

        Their sessions are ended first: one that was only frozen can commit
        nothing when it wakes.

        :returns: the number of jobs by worker.
        """
        with self._cursor() as cursor:
            cursor.execute(_DEAD, {"me": self.worker_id, "silence": frozen_after})
            dead = [row[0] for row in cursor.fetchall()]
        rescued = {}
        for worker_id in dead:
            self._end_sessions(worker_id)
            rescued[worker_id] = self._take_away(worker_id, None, None, most)
        self._one(f"SELECT {SCHEMA}.files_adopt()")
        return {worker_id: count for worker_id, count in rescued.items() if count}

    def forget_dead(self) -> None:
        """Delete the rows of workers that ended long ago without a word."""
        with self._cursor() as cursor:
            cursor.execute(_FORGET)

    def next_due(self) -> float | None:
        """Return the seconds until a job that was put off is due; None if there is none."""
        due = self._one(_DUE)
        return None if due is None else float(due)

    def cancel_statements(self, pids: Iterable[int]) -> None:
        """Interrupt what sessions are doing."""
        self._each("pg_cancel_backend", pids)

    def end_sessions(self, pids: Iterable[int]) -> None:
        """End sessions, so that they commit nothing any more."""
        self._each("pg_terminate_backend", pids)

    def _each(self, function: str, pids: Iterable[int]) -> None:
        name = application_name(self.worker_id)
        self._one(_EACH.format(function), {"pids": list(pids), "name": name})

    def _end_sessions(self, worker_id: int) -> None:
        with self._cursor() as cursor:
            cursor.execute(_SESSIONS, {"name": application_name(worker_id)})

    def _take_away(
        self, worker_id: int, job_id: int | None, attempts: int | None, most: int | None
    ) -> int:
        query = f"SELECT {SCHEMA}.files_take_away(%s, %s, %s, %s)"
        return self._one(query, (worker_id, job_id, attempts, most))

    def _one(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> Any:
        with self._cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()[0]

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
    """Return the name that all database sessions of a worker bear."""
    return f"ckan-files-worker:{worker_id}"
