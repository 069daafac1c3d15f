"""Procrastinate as it comes: its own worker, synchronous tasks, a schema of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model
from procrastinate import App, PsycopgConnector
from procrastinate.schema import SchemaManager

from .. import site, tasks
from ..databases import VARIABLE
from . import Queue
from .jobs_table import JobsTable

SCHEMA = "benchmark_procrastinate"

_CONNECTION: Any = {
    "conninfo": os.environ[VARIABLE],
    "kwargs": {"options": f"-c search_path={SCHEMA}"},
}

site.load()

app = App(connector=PsycopgConnector(**_CONNECTION))

nothing: Any = app.task(name="nothing")(tasks.nothing)
write: Any = app.task(name="write")(site.in_request(tasks.write))


class ProcrastinateQueue(Queue):
    """Its default queue."""

    def __init__(self) -> None:
        self._table = JobsTable(SCHEMA)

    def prepare(self, history: int) -> None:
        model.Session.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        model.Session.commit()
        app.open()
        SchemaManager(app.connector).apply_schema()
        self._table.fill(history)

    def clean(self) -> None:
        self._table.clean()

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        task: Any = app.tasks[work]
        if len(numbers) == 1:
            task.defer(number=numbers[0])
        else:
            task.batch_defer(*({"number": number} for number in numbers))

    def unfinished(self) -> int:
        return self._table.unfinished()


queue = ProcrastinateQueue()
