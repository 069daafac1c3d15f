"""What the process that enqueues does with a queue; CKAN's queue and ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import redis
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import schema, task

from . import jobs

REDIS_URL = os.environ["CKAN_REDIS_URL"]


class Queue:
    """A queue in CKAN's Redis, which knows no more of a job than that it was taken.

    :param nothing: asks for a job that does nothing, by its number.
    :param write: asks for one that writes a row.
    :param keys: pattern of all its keys.
    """

    def __init__(self, nothing: Any, write: Any, keys: str = "") -> None:
        self.nothing, self.write, self._keys = nothing, write, keys

    def clean(self) -> None:
        """Remove all jobs but the past ones, while no worker runs."""
        connection: Any = redis.Redis.from_url(REDIS_URL)
        for key in connection.scan_iter(self._keys):
            connection.delete(key)

    def unfinished(self) -> bool:
        """Return whether jobs run, as far as the queue knows."""
        return False

    def enqueue(self, work: str, numbers: Iterable[int]) -> None:
        """Ask for many jobs at once, as fast as the queue can."""
        for number in numbers:
            getattr(self, work)(number)

    def commit_and_ask(self, number: int) -> None:
        """Commit what a request has changed, and ask for one job."""
        model.Session.commit()
        self.nothing(number)


class TableQueue(Queue):
    """Procrastinate's tables, in a PostgreSQL schema; ``nothing`` and ``write`` are its tasks."""

    def __init__(self, schema: str, make: Callable[[], Any], nothing: Any, write: Any) -> None:
        super().__init__(nothing, write)
        self._schema, self._make, self._past = schema, make, 0

    def prepare(self, history: int) -> None:
        """Make the tables, with so many jobs done in the past."""
        self._make()
        sql = Path(__file__).with_name("history.sql").read_text()
        self._execute(sql, count=history)
        model.Session.commit()
        self._past = history

    def clean(self) -> None:
        self._execute("DELETE FROM procrastinate_jobs WHERE id > :past", past=self._past)
        model.Session.commit()
        tables = f"{self._schema}.procrastinate_jobs, {self._schema}.procrastinate_events"
        engine: Any = model.Session.get_bind()
        # VACUUM refuses to run within a transaction
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"VACUUM ANALYZE {tables}"))

    def unfinished(self) -> bool:
        query = "SELECT DISTINCT status FROM procrastinate_jobs WHERE id > :past"
        states = set(self._execute(query, past=self._past).scalars()) - {"succeeded"}
        # the next look has to see what others have committed meanwhile
        model.Session.rollback()
        assert states <= {"todo", "doing"}, f"jobs have failed: {states}"
        return bool(states)

    def enqueue(self, work: str, numbers: Iterable[int]) -> None:
        getattr(self, work).batch_defer(*({"number": number} for number in numbers))
        model.Session.commit()

    def commit_and_ask(self, number: int) -> None:
        model.Session.commit()
        self.nothing.defer(number=number)

    def _execute(self, sql: str, **parameters: Any) -> Any:
        # Procrastinate's triggers look for its tables in the search path
        model.Session.execute(sa.text(f"SET LOCAL search_path TO {self._schema}"))
        return model.Session.execute(sa.text(sql), parameters)


class OwnQueue(TableQueue):
    """Ours: the commit that asks for a job writes it, and the commit of the work also ends it."""

    def commit_and_ask(self, number: int) -> None:
        self.nothing.delay(number)
        model.Session.commit()


class EnqueuedQueue(OwnQueue):
    """CKAN's jobs on our rows: with the commit of a change, or at once without one."""

    def enqueue(self, work: str, numbers: Iterable[int]) -> None:
        Queue.enqueue(self, work, numbers)

    def commit_and_ask(self, number: int) -> None:
        self.nothing(number)
        model.Session.commit()


def _make_tables() -> None:
    schema.install(model.Session.get_bind())


_functions = [
    lambda number, function=function: tk.enqueue_job(function, [number], queue="benchmark")
    for function in (jobs.nothing, jobs.write)
]
ckan = Queue(*_functions, keys="rq:*:benchmark")
enqueued = EnqueuedQueue(schema.SCHEMA, _make_tables, *_functions)
_tasks = task(name="nothing")(jobs.nothing), task(name="write")(jobs.write)
own = OwnQueue(schema.SCHEMA, _make_tables, *_tasks)
