"""Procrastinate as it comes: its own worker, synchronous tasks, a schema of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model
from procrastinate import App, PsycopgConnector
from procrastinate.schema import SchemaManager

from ... import site
from . import TableQueue
from . import nothing as do_nothing
from . import write as do_write

SCHEMA = "benchmark_procrastinate"
_CONNECTION: Any = {
    "conninfo": os.environ["CKAN_SQLALCHEMY_URL"],
    "kwargs": {"options": f"-c search_path={SCHEMA}"},
}

site.load()
app = App(connector=PsycopgConnector(**_CONNECTION))
nothing: Any = app.task(name="nothing")(do_nothing)
write: Any = app.task(name="write")(do_write)


class ProcrastinateQueue(TableQueue):
    def prepare(self, history: int) -> None:
        model.Session.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        model.Session.commit()
        app.open()
        SchemaManager(app.connector).apply_schema()
        super().prepare(history)

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        if len(numbers) == 1:
            self.tasks[work].defer(number=numbers[0])
        else:
            super().enqueue(work, numbers)


queue = ProcrastinateQueue(SCHEMA, nothing=nothing, write=write)
