"""Ours: the commit that asks for a job writes it, and that of the work also ends it."""

from __future__ import annotations

from collections.abc import Sequence

from ckan import model

from ckanext.files.background import schema, task

from .. import tasks
from ..journal import now
from . import Queue
from .jobs_table import JobsTable

nothing = task(name="nothing")(tasks.nothing)
write = task(name="write")(tasks.write)


class OwnQueue(Queue):
    """The default queue."""

    def __init__(self) -> None:
        self._table = JobsTable(schema.SCHEMA)

    def prepare(self, history: int) -> None:
        schema.install(model.Session.get_bind())
        self._table.fill(history)

    def clean(self) -> None:
        self._table.clean()

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        own = {"nothing": nothing, "write": write}[work]
        own.batch_defer(*({"number": number} for number in numbers))
        model.Session.commit()

    def unfinished(self) -> int:
        return self._table.unfinished()

    def ask(self, number: int) -> float:
        self.change(number)
        began = now()
        nothing.delay(number)
        model.Session.commit()
        return began


queue = OwnQueue()
