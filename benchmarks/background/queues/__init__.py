"""The queues; each module has its tasks, which its workers load, and its ``queue``."""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from typing import Any

import redis
import sqlalchemy as sa
from ckan import model

from ... import site
from .. import journal

REDIS_URL = os.environ["CKAN_REDIS_URL"]
nothing, write = journal.nothing, site.in_request(journal.write)
_REQUEST = sa.text("INSERT INTO benchmark_request (number) VALUES (:number)")


class Queue(abc.ABC):
    """What the process that enqueues does with a queue.

    :param tasks: by their names.
    """

    def __init__(self, **tasks: Any) -> None:
        self.tasks = tasks

    def prepare(self, history: int) -> None:  # noqa: B027  # most need nothing
        """Make what has to be there before all, with so many jobs done in the past."""

    @abc.abstractmethod
    def clean(self) -> None:
        """Remove all jobs, while no worker runs."""

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        """Ask for many jobs at once, as fast as the queue can."""
        for number in numbers:
            self.send(self.tasks[work], number)

    def send(self, task: Any, number: int) -> None:
        raise NotImplementedError

    @abc.abstractmethod
    def unfinished(self) -> int:
        """Return how many jobs wait or run, as far as the queue knows."""

    def ask(self, number: int) -> float:
        """Change something and ask for one job; return when the change was to be committed."""
        self.change(number)
        began = journal.now()
        model.Session.commit()
        self.enqueue("nothing", [number])
        return began

    def change(self, number: int) -> None:
        """Do what a request does before its commit."""
        model.Session.execute(_REQUEST, {"number": number})


class RedisQueue(Queue):
    """A queue in CKAN's Redis, in keys that begin with a prefix of ours."""

    def __init__(self, prefix: str, **tasks: Any) -> None:
        super().__init__(**tasks)
        self.prefix = prefix
        self.redis: Any = redis.Redis.from_url(REDIS_URL)

    def clean(self) -> None:
        for key in self.redis.scan_iter(f"{self.prefix}*"):
            self.redis.delete(key)


class TableQueue(Queue):
    """Procrastinate's tables, in a PostgreSQL schema; the history stays when they are emptied."""

    def __init__(self, schema: str, **tasks: Any) -> None:
        super().__init__(**tasks)
        self.schema = schema
        self._kept = 0

    def prepare(self, history: int) -> None:
        """Make a history of jobs that are finished, each with its events."""
        self._outside(*(sql.format(schema=self.schema, count=history) for sql in _HISTORY))
        self._kept = history

    def clean(self) -> None:
        """Remove all but the history, and let PostgreSQL know how much that is."""
        jobs = f"{self.schema}.procrastinate_jobs"
        # Procrastinate's triggers look for its tables in the search path
        model.Session.execute(sa.text(f"SET LOCAL search_path TO {self.schema}"))
        model.Session.execute(sa.text(f"DELETE FROM {jobs} WHERE id > {self._kept}"))
        model.Session.commit()
        events = f"{self.schema}.procrastinate_events"
        self._outside(f"VACUUM ANALYZE {jobs}", f"VACUUM ANALYZE {events}")

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        self.tasks[work].batch_defer(*({"number": number} for number in numbers))

    def unfinished(self) -> int:
        """Return how many jobs wait or run; fail when one has failed."""
        query = f"""
            SELECT count(*) FILTER (WHERE status IN ('todo', 'doing')),
                   count(*) FILTER (WHERE status NOT IN ('todo', 'doing', 'succeeded'))
            FROM {self.schema}.procrastinate_jobs WHERE id > :kept
        """
        left, failed = model.Session.execute(sa.text(query), {"kept": self._kept}).one()
        # the next look has to see what others have committed meanwhile
        model.Session.rollback()
        if failed:
            raise journal.MissingError(f"{failed} jobs have failed")
        return left

    def _outside(self, *statements: str) -> None:
        engine: Any = model.Session.get_bind()
        # VACUUM refuses to run within a transaction
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for sql in statements:
                connection.execute(sa.text(sql))


_HISTORY = (
    "TRUNCATE {schema}.procrastinate_jobs RESTART IDENTITY CASCADE",
    """
    INSERT INTO {schema}.procrastinate_jobs (queue_name, task_name, args, status, attempts)
    SELECT 'default', 'past', jsonb_build_object('number', number), 'succeeded', 1
    FROM generate_series(1, {count}) AS number
    """,
    """
    INSERT INTO {schema}.procrastinate_events (job_id, type, at)
    SELECT id, type::{schema}.procrastinate_job_event_type, now() - interval '1 day'
    FROM {schema}.procrastinate_jobs, unnest(ARRAY['deferred', 'started', 'succeeded']) AS type
    """,
)
