"""The process that enqueues: ``python -m benchmarks.background.client QUEUE``.

A site has done its changes and commits, and wants something done in the
background: what it has loaded is CKAN, and one of the ``queues``.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from ckan import model

from .. import site
from .journal import Journal, MissingError, now
from .queues import Queue

_IDLE = (0.03, 0.08)
"""Seconds without a job, in between of those that find an idle worker."""

_SECONDS = 30
"""How long one job may take, or to write down that all are done."""

_LOOK_EVERY = 0.005
_WRITTEN = sa.text("""
    SELECT count(*), count(DISTINCT number) FROM benchmark_write
    WHERE number >= :first AND number < :first + :count
""")


class Client:
    """Jobs are given by the number of the first and their count."""

    def __init__(self, queue: Queue) -> None:
        self._queue, self._journal = queue, Journal()
        self.prepare = queue.prepare

    def clean(self) -> None:
        self._queue.clean()
        model.Session.execute(sa.text("TRUNCATE benchmark_write, benchmark_request"))
        model.Session.commit()

    def enqueue(self, work: str, first: int, count: int) -> None:
        self._queue.enqueue(work, range(first, first + count))

    def started(self) -> int:
        """Return how many jobs have started."""
        return self._journal.look()

    def check(self, work: str, first: int, count: int) -> tuple[float, list[int]]:
        """Fail unless each was done once; return when the last started, and the processes."""
        _wait_until(lambda: not self._queue.unfinished())
        notes = self._journal.take(range(first, first + count))
        if work == "write":
            # some queues hold a job no more when it starts
            _wait_until(lambda: _written(first, count) == (count, count))
        return max(note.time for note in notes), sorted({note.pid for note in notes})

    def ask(self, first: int, count: int) -> list[float]:
        """Ask an idle worker for one job after the other; return the seconds until each started."""
        waits = []
        for number in range(first, first + count):
            asked = self._queue.ask(number)
            _wait_until(self._journal.look)
            [note] = self._journal.take(range(number, number + 1))
            waits.append(note.time - asked)
            time.sleep(random.uniform(*_IDLE))
        return waits


def _wait_until(condition: Callable[[], Any]) -> None:
    until = now() + _SECONDS
    while not condition():
        if now() > until:
            raise MissingError(f"something is not done after {_SECONDS} s")
        time.sleep(_LOOK_EVERY)


def _written(first: int, count: int) -> tuple[int, int]:
    """Return how many rows there are of these jobs, and of how many different ones."""
    rows, different = model.Session.execute(_WRITTEN, {"first": first, "count": count}).one()
    # the next look has to see what others have committed meanwhile
    model.Session.rollback()
    return rows, different


def _load() -> Client:
    site.load()
    return Client(importlib.import_module(f"{__package__}.queues.{sys.argv[1]}").queue)


if __name__ == "__main__":
    site.serve(_load)
