"""Wakes slots that have nothing to do."""

from __future__ import annotations

import threading


class WakeSignal:
    """A wake_signal that is not missed by those who were not waiting yet."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rung = 0
        self.waiting = 0

    def listen(self) -> int:
        """Begin to look for work; returns what to give to :meth:`wait` if there is none."""
        return self._rung

    def wait(self, heard: int) -> None:
        """Wait until it rings, unless it has rung since :meth:`listen`."""
        with self._condition:
            self.waiting += 1
            self._condition.wait_for(lambda: self._rung != heard)
            self.waiting -= 1

    def ring(self, everybody: bool = False) -> None:
        """Wake one of those who wait, or all of them."""
        with self._condition:
            self._rung += 1
            self._condition.notify_all() if everybody else self._condition.notify()
