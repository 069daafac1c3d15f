"""All rounds: in each, every contender has a turn."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from dev.process import Process

from ..figures import Scores
from ..site import CkanProcess, announce, write_ini
from .contenders import Contender
from .journal import TABLES, VARIABLE, WORKS, MissingError, now

DATABASE = "CKAN_SQLALCHEMY_URL"
_SECONDS = 120
"""How long the jobs of one rate may take."""

_SECONDS_TO_WARM_UP = 60
_LOOK_EVERY = 0.02


def run(contenders: Sequence[Contender], rounds: int) -> Scores:
    """Let each contender have its turn in each round, in random order."""
    _install()
    scores = Scores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copies = {name: _copy(name) for name in {c.database for c in contenders}}
        urls = {name: stack.enter_context(copy) for name, copy in copies.items()}
        teams = [stack.enter_context(_team(c, folder, urls[c.database])) for c in contenders]
        for number in range(1, rounds + 1):
            measured: dict[str, Any] = {}
            for team in random.sample(teams, len(teams)):
                announce(f"round {number} of {rounds}: {team.contender}")
                measured[team.contender.name] = team.take_turn()
            scores.rounds.append(measured)
    return scores


class Team:
    """A contender at work: the process that enqueues, and the workers."""

    def __init__(self, contender: Contender, client: CkanProcess, workers: Process) -> None:
        self.contender = contender
        self._client = client
        self._workers = workers
        self._first = 1

    def take_turn(self) -> dict[str, Any]:
        """Start the workers, measure them, and stop them.

        Returns jobs a second for each piece of work, and the seconds until each of some jobs
        started on an idle worker (``waits``).
        """
        self._client.call("clean")
        self._workers.start()
        try:
            for work in WORKS:
                self._warm_up(work)
            first, count = self._take(self.contender.requests), self.contender.requests
            waits = self._client.call("ask", first=first, count=count)
            rates = {work: self.contender.jobs / self._measure(work) for work in WORKS}
        finally:
            self._workers.stop()
        self._client.call("clean")
        return {**rates, "waits": waits}

    def _warm_up(self, work: str) -> None:
        """Let jobs be done until each process has had some."""
        processes: set[int] = set()
        until = now() + _SECONDS_TO_WARM_UP
        count = max(1, self.contender.jobs // 10)
        while len(processes) < self.contender.processes:
            if now() > until:
                raise MissingError(f"{self.contender}: only {len(processes)} processes work")
            first = self._take(count)
            self._client.call("enqueue", work=work, first=first, count=count)
            processes |= set(self._wait(work, first, count)[1])

    def _measure(self, work: str) -> float:
        """Enqueue jobs while the workers pause; return the seconds until the last has started."""
        count = self.contender.jobs
        first = self._take(count)
        self._workers.signal(SIGSTOP)
        try:
            self._client.call("enqueue", work=work, first=first, count=count)
        finally:
            began = now()
            self._workers.signal(SIGCONT)
        return self._wait(work, first, count)[0] - began

    def _wait(self, work: str, first: int, count: int) -> Any:
        until = now() + _SECONDS
        while (started := self._client.call("started")) < count:
            if now() > until or not self._workers.running:
                raise self._workers.error(f"has started {started} of {count} jobs")
            time.sleep(_LOOK_EVERY)
        return self._client.call("check", work=work, first=first, count=count)

    def _take(self, count: int) -> int:
        """Return the number of the first of so many new jobs."""
        first = self._first
        self._first += count
        return first


@contextmanager
def _team(contender: Contender, folder: Path, database: str) -> Iterator[Team]:
    journal = folder / f"{contender.name}.journal"
    journal.touch()
    environment = {
        "CKAN_INI": write_ini(folder / f"{contender.name}.ini", dict(contender.options)),
        "CKAN_SITE_ID": "benchmark",
        DATABASE: database,
        VARIABLE: str(journal),
    }
    client = CkanProcess("benchmarks.background.client", contender.queue, environment=environment)
    log, variables = folder / f"{contender.name}.log", {**os.environ, **environment}
    try:
        client.call("prepare", history=contender.history)
        yield Team(contender, client, Process(contender.command.split(), log, variables))
    finally:
        client.end()


@contextmanager
def _copy(name: str) -> Iterator[str]:
    """Give the address of a copy of CKAN's database, which is dropped at the end."""
    url = make_url(os.environ[DATABASE])
    copy = f"{url.database}_benchmark_{name}"
    drop = f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)'
    # a benchmark that was killed has left it
    _execute(url, drop)
    _execute(url, f'CREATE DATABASE "{copy}" TEMPLATE "{url.database}"')
    try:
        _execute(url.set(database=copy), TABLES)
        yield url.set(database=copy).render_as_string(hide_password=False)
    finally:
        _execute(url, drop)


def _execute(url: URL, sql: str) -> None:
    # without a pool: a database that is copied has no other connections
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(sql))


def _install() -> None:
    """Install the packages of the contenders, and change nothing of what CKAN has brought."""
    requirements = Path(__file__).with_name("requirements.txt")
    asked = {line.split("==")[0] for line in requirements.read_text().splitlines()}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    freeze = subprocess.check_output([*pip, "freeze", "--exclude-editable"], text=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        print(
            *(line for line in freeze.splitlines() if line.split("==")[0] not in asked),
            sep="\n",
            file=constraints,
            flush=True,
        )
        install = ["install", "-q", "-r", str(requirements), "-c", constraints.name]
        subprocess.run([*pip, *install], check=True)
