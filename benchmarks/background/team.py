"""A contender at work: the process that enqueues, and the workers."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..crew import Hand
from .configuration import ROOT, write_ini
from .contenders import Contender
from .databases import VARIABLE as DATABASE
from .journal import VARIABLE as JOURNAL
from .journal import MissingError, now
from .workers import Workers

_SECONDS = 120
"""How long the jobs of one rate may take."""

_LOOK_EVERY = 0.02


@dataclasses.dataclass(frozen=True)
class Done:
    """Jobs that were all done, each once."""

    seconds: float
    """From the moment at which the workers might begin to the start of the last job."""

    processes: frozenset[int]


class Team:
    """Does jobs; ``prepare`` it once, and ``start`` its workers for each turn."""

    def __init__(self, contender: Contender, folder: Path, database: str) -> None:
        self.contender = contender
        self._log = folder / f"{contender.name}.log"
        self._environment = {
            "CKAN_INI": str(write_ini(contender, folder)),
            "CKAN_SITE_ID": "benchmark",
            "PYTHONPATH": str(ROOT),
            DATABASE: database,
            JOURNAL: str(folder / f"{contender.name}.journal"),
        }
        Path(self._environment[JOURNAL]).touch()
        self._client = Hand(
            "benchmarks.background.client", contender.queue, environment=self._environment
        )
        self._first = 1

    def prepare(self) -> None:
        """Make what has to be there before the first turn."""
        self._client.ask("prepare", history=self.contender.history)

    @contextlib.contextmanager
    def start(self) -> Iterator[None]:
        """Run the workers, with no job left of another turn."""
        self._client.ask("clean")
        self._workers = Workers(self.contender.command, self._environment, self._log)
        with self._workers:
            yield
        self._client.ask("clean")

    def do(self, work: str, count: int) -> Done:
        """Enqueue jobs while the workers pause, and let them all be done."""
        first = self._take(count)
        self._workers.pause()
        try:
            self._client.ask("enqueue", work=work, first=first, count=count)
        finally:
            began = now()
            self._workers.go_on()
        done = self._wait(work, first, count)
        return Done(done["last"] - began, frozenset(done["processes"]))

    def do_unmeasured(self, work: str, count: int) -> Done:
        """Enqueue jobs while the workers run, or still start."""
        first, began = self._take(count), now()
        self._client.ask("enqueue", work=work, first=first, count=count)
        done = self._wait(work, first, count)
        return Done(done["last"] - began, frozenset(done["processes"]))

    def ask(self, count: int) -> list[float]:
        """Return the seconds from the commit to the start of each job, on an idle worker."""
        return self._client.ask("ask", first=self._take(count), count=count)

    def dismiss(self) -> None:
        """End the process that enqueues."""
        self._client.dismiss()

    def _wait(self, work: str, first: int, count: int) -> dict[str, Any]:
        until = now() + _SECONDS
        while (started := self._client.ask("started")) < count:
            self._workers.check()
            if now() > until:
                raise MissingError(f"{started} of {count} jobs have started after {_SECONDS} s")
            time.sleep(_LOOK_EVERY)
        return self._client.ask("check", work=work, first=first, count=count)

    def _take(self, count: int) -> int:
        first = self._first
        self._first += count
        return first
