"""The queues; each module has its tasks, which its workers load, and its ``queue``."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import sqlalchemy as sa
from ckan import model

from ..journal import now

_REQUEST = sa.text("INSERT INTO benchmark_request (number) VALUES (:number)")


class Queue(abc.ABC):
    """What the process that enqueues does with a queue."""

    def prepare(self, history: int) -> None:  # noqa: B027  # most need nothing
        """Make what has to be there before all, with so many jobs done in the past."""

    @abc.abstractmethod
    def clean(self) -> None:
        """Remove all jobs, while no worker runs."""

    @abc.abstractmethod
    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        """Ask for many jobs at once, as fast as the queue can."""

    @abc.abstractmethod
    def unfinished(self) -> int:
        """Return how many jobs wait or run, as far as the queue knows."""

    def ask(self, number: int) -> float:
        """Change something and ask for one job; return when the change was to be committed."""
        self.change(number)
        began = now()
        model.Session.commit()
        self.enqueue("nothing", [number])
        return began

    def change(self, number: int) -> None:
        """Do what a request does before its commit."""
        model.Session.execute(_REQUEST, {"number": number})
