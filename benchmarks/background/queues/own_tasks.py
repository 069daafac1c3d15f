"""Ours: the commit that asks for a job writes it, and that of the work also ends it."""

from __future__ import annotations

from collections.abc import Sequence

from ckan import model

from ckanext.files.background import schema, task

from .. import journal
from . import TableQueue

nothing = task(name="nothing")(journal.nothing)
write = task(name="write")(journal.write)


class OwnQueue(TableQueue):
    def prepare(self, history: int) -> None:
        schema.install(model.Session.get_bind())
        super().prepare(history)

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        super().enqueue(work, numbers)
        model.Session.commit()

    def ask(self, number: int) -> float:
        self.change(number)
        began = journal.now()
        nothing.delay(number)
        model.Session.commit()
        return began


queue = OwnQueue(schema.SCHEMA, nothing=nothing, write=write)
