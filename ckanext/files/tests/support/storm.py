"""A storm over workers: kills, standstills and cut connections, spread over all of their work."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

from ckanext.files.tests.support.jobs import cut, sessions_of
from ckanext.files.tests.support.workers import Worker

_PATIENCE = 90.0
"""Seconds in which some work must get done."""


@dataclasses.dataclass
class Storm:
    """What happens to the workers. Those that were killed are started again at once."""

    workers: list[Worker]
    kills: int = 0
    freezes: int = 0
    cuts: int = 0
    standstill: tuple[float, float] = (3.0, 4.0)
    """Seconds, from and to."""

    chance: random.Random = dataclasses.field(default_factory=random.Random)
    ended: int = 0
    """Workers that have ended by themselves."""

    def rage(self, done: Callable[[], int], total: int) -> None:
        """Rage until all work is done.

        :param done: tells how much is.
        """
        events = [self._kill] * self.kills + [self._freeze] * self.freezes + [self._cut] * self.cuts
        self.chance.shuffle(events)
        ahead, last, changed = len(events), -1, 0.0
        self._wakes: dict[float, Worker] = {}
        while True:
            self._wake_up()
            self._start_again()
            so_far = done()
            if so_far != last:
                last, changed = so_far, time.monotonic()
            assert time.monotonic() < changed + _PATIENCE, f"stuck at {so_far} of {total}"
            if so_far >= total and not events and not self._wakes:
                return
            if events and so_far >= total * (1 - len(events) / (ahead + 1)):
                time.sleep(self.chance.uniform(0, 0.3))
                if events[-1]():
                    events.pop()
            time.sleep(0.05)

    def _kill(self) -> bool:
        worker = self._one_of([w for w in self.workers if w.ids and not w.frozen])
        if worker:
            worker.kill()
            worker.launch()
        return bool(worker)

    def _freeze(self) -> bool:
        """Let one stand still, unless it is the only one that does not."""
        awake = [w for w in self.workers if not w.frozen]
        worker = self._one_of([w for w in awake if w.ids]) if len(awake) > 1 else None
        if worker:
            worker.freeze()
            self._wakes[time.monotonic() + self.chance.uniform(*self.standstill)] = worker
        return bool(worker)

    def _cut(self) -> bool:
        pids = sessions_of("%")
        cut(self.chance.sample(pids, min(2, len(pids))))
        return bool(pids)

    def _wake_up(self) -> None:
        for at in [at for at in self._wakes if time.monotonic() > at]:
            self._wakes.pop(at).wake()

    def _start_again(self) -> None:
        """Start those that have ended, as a supervisor does."""
        for worker in self.workers:
            if not worker.running:
                worker.launch()
                self.ended += 1

    def _one_of(self, workers: list[Worker]) -> Worker | None:
        return self.chance.choice(workers) if workers else None
