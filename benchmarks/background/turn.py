"""A turn of one contender, in the process that enqueues, which has CKAN and the queue loaded."""

from __future__ import annotations

import functools
import itertools
import os
import pkgutil
import random
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import sqlalchemy as sa
from ckan import model

from dev.environments import say
from dev.process import Process

from . import jobs
from .contenders import WORKS, Contender


def take(contender: Contender) -> dict[str, Any]:
    """Start the workers, measure them, and stop them.

    Returns jobs a second for each piece of work, the seconds until each of some jobs started on an
    idle worker (``waits``), and how many jobs a second were asked for.
    """
    say(contender.title)
    team = _team(contender)
    team.queue.clean()
    asking = team.ask_without_workers() if contender.asks else {}
    team.workers.start()
    try:
        for work in WORKS:
            team.warm_up(work)
        waits = [team.ask() for _ in range(contender.requests)]
        return {"waits": waits, **asking} | {work: team.measure(work) for work in WORKS}
    finally:
        team.workers.stop()
        jobs.take_notes()


class Team:
    """The queue, with its tables, and the workers, which do not run yet."""

    def __init__(self, contender: Contender) -> None:
        model.Session.execute(sa.text("CREATE TABLE benchmark_write (number bigint NOT NULL)"))
        model.Session.commit()
        self.queue: Any = pkgutil.resolve_name(f"{__package__}.{contender.queue}")
        if contender.history:
            self.queue.prepare(contender.history)
        log = Path(os.environ["CKAN_INI"]).with_name("log")
        self.workers = Process(contender.command.split(), log)
        self._contender = contender
        self._numbers = itertools.count(1)

    def ask_without_workers(self) -> dict[str, float]:
        """Ask for jobs, and remove them; return how many in a second.

        ``asked`` is for a session that has changed nothing, ``committed`` for requests
        that have written a row.
        """

        def change(number: int) -> None:
            jobs.add_row(number)
            self.queue.commit_and_ask(number)

        rates = {}
        for name, ask in {"asked": self.queue.nothing, "committed": change}.items():
            first, *numbers = itertools.islice(self._numbers, self._contender.asks + 1)
            ask(first)  # it connects
            began = time.monotonic()
            for number in numbers:
                ask(number)
            rates[name] = len(numbers) / (time.monotonic() - began)
            self.queue.clean()
        return rates

    def warm_up(self, work: str) -> None:
        """Let jobs be done until each process has had some."""
        processes: set[int] = set()
        while len(processes) < self._contender.processes:
            notes = self._wait(work, self._enqueue(work, self._contender.jobs // 10 + 1))
            processes |= {process for _, process, _ in notes}

    def ask(self) -> float:
        """Ask an idle worker for one job; return the seconds until it started."""
        time.sleep(random.uniform(0.03, 0.08))
        number = next(self._numbers)
        jobs.add_row(number)
        began = time.monotonic()
        self.queue.commit_and_ask(number)
        [(_, _, started)] = self._wait("nothing", [number])
        return started - began

    def measure(self, work: str) -> float:
        """Enqueue jobs while the workers pause; return how many they start in a second."""
        self.workers.signal(SIGSTOP)
        try:
            numbers = self._enqueue(work, self._contender.jobs)
        finally:
            began = time.monotonic()
            self.workers.signal(SIGCONT)
        ended = max(started for _, _, started in self._wait(work, numbers))
        return len(numbers) / (ended - began)

    def _enqueue(self, work: str, count: int) -> list[int]:
        numbers = list(itertools.islice(self._numbers, count))
        self.queue.enqueue(work, numbers)
        return numbers

    def _wait(self, work: str, numbers: list[int]) -> list[tuple[int, int, float]]:
        """Return the notes of jobs when they are done; each must have been done once."""
        self._wait_until(lambda: jobs.started() >= len(numbers))
        self._wait_until(lambda: not self.queue.unfinished())
        if work == "write":
            # some queues hold a job no more when it starts
            self._wait_until(lambda: jobs.written(numbers) == numbers)
        notes = jobs.take_notes()
        if sorted(number for number, _, _ in notes) != numbers:
            raise self.workers.error("has not done each job once")
        return notes

    def _wait_until(self, is_done: Callable[[], bool]) -> None:
        until = time.monotonic() + 120
        while not is_done():
            if time.monotonic() > until or not self.workers.running:
                raise self.workers.error("has not done its jobs")
            time.sleep(0.005)


_team = functools.cache(Team)
