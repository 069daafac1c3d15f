"""Which workers are stalled, dead or frozen, so that others take over their jobs.

PostgreSQL releases the lock of a worker the moment its process dies, but also when only the
connection is lost. A frozen worker keeps its lock. Which it is does not matter where each
step is one commit: its sessions are ended first, and it can commit nothing.

A step that is not atomic goes on in a worker that lives, and a second run beside it would
disturb both. So its worker gets time to take its lock again, or to wake up: it may run
foreign code that stops all its threads, also its heartbeat.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from ..call import find_task, is_known

_RECONNECTING = 5.0
"""Seconds in which a worker that lives has its lock again, once the database can be reached."""

_PATIENCE = 10
"""How many times as long as others such a worker may be silent."""


class SilentWorker(NamedTuple):
    """A worker that has jobs, and has no lock or no heartbeat."""

    id: int
    is_unlocked: bool
    silence: float
    """Seconds since its last heartbeat."""

    tasks: list[str]
    """Whose steps it runs."""

    has_our_queue: bool
    """Whether one of its jobs is of a queue of the worker that looks."""


class Stalled:
    """Finds the stalled among silent workers; asked again and again."""

    def __init__(self) -> None:
        self._unlocked_since: dict[int, float] = {}

    def among(self, silent: Sequence[SilentWorker], frozen_after: float) -> list[int]:
        """Return the ids of the stalled workers."""
        now = time.monotonic()
        self._unlocked_since = {
            each.id: self._unlocked_since.get(each.id, now) for each in silent if each.is_unlocked
        }
        return [each.id for each in silent if self._is_stalled(each, now, frozen_after)]

    def _is_stalled(self, worker: SilentWorker, now: float, frozen_after: float) -> bool:
        if all(map(_is_atomic, worker.tasks)):
            return True
        if worker.is_unlocked:
            return now - self._unlocked_since[worker.id] >= _RECONNECTING
        return worker.silence > _PATIENCE * frozen_after


def _is_atomic(task: str) -> bool:
    return is_known(task) and find_task(task).atomic
