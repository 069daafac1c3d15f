"""Real workers, in processes of their own.

They use the database, Solr and Redis of the test, and can be killed, frozen
and woken. They end with the tests, even if those are killed.

One is made by ``ckan files background worker``, or by a fork of the tests: that
spares the seconds in which CKAN starts.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ckanext.files.tests.support.forked_workers import forked
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.waiting import wait_for

SECONDS_TO_START = 60
SECONDS_TO_STOP = 60

PLUGINS = "files files_background"
TASKS = {
    "ckanext.files.background.task_modules": "ckanext.files.tests.support.sample"
    " ckanext.files.tests.support.worker_tasks"
}

_READY = re.compile(r"Worker (\d+) knows: ")


class Process(Protocol):
    """What :class:`subprocess.Popen` and :class:`Fork` have in common."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...


Start = Callable[[BinaryIO], Process]
"""Starts a process that prints into a file."""


def command(ini: Path, *arguments: str) -> Start:
    """Start workers by CKAN's command."""

    def start(log: BinaryIO) -> Process:
        environment = dict(os.environ)
        environment.pop("PYTHONUNBUFFERED", None)
        return subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM"),
                *("ckan", "-c", str(ini), "files", "background", "worker", *arguments),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    return start


class Worker:
    """A worker, or with ``--processes`` several and the process that looks after them."""

    def __init__(self, log: Path, start: Start) -> None:
        self.log = log
        self._start = start
        self._began = 0
        self._process: Process | None = None
        self.frozen = False

    @property
    def pid(self) -> int:
        assert self._process, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return bool(self._process) and self._process.poll() is None

    @property
    def said(self) -> str:
        """What it has printed since it was started last."""
        return self.log.read_bytes()[self._began :].decode()

    @property
    def ids(self) -> list[int]:
        """Ids of the workers that got as far as to look for jobs."""
        return [int(found) for found in _READY.findall(self.said)]

    @property
    def id(self) -> int:
        """Id of the only worker."""
        (only,) = self.ids
        return only

    @property
    def children(self) -> list[int]:
        """The processes that it looks after."""
        told = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in told.split()]

    @property
    def cpu_seconds(self) -> float:
        """How long it has used a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def launch(self) -> None:
        """Start it, also again, and do not wait for it."""
        self._began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = self._start(log)

    def start(self, workers: int = 1) -> None:
        """Start it, and return when so many workers look for jobs."""
        self.launch()
        self.wait_until_ready(workers)

    def wait_until_ready(self, workers: int = 1) -> None:
        """Wait until so many workers look for jobs."""
        wait_for(lambda: len(self.ids) >= workers or not self.running, SECONDS_TO_START)
        assert len(self.ids) >= workers, "the worker has ended at its start"

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        self.frozen = False

    def freeze(self) -> None:
        """Let it stand still, as a machine that swaps or a paused virtual one does."""
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    def terminate(self) -> None:
        """Tell it to stop, and do not wait for that."""
        os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> int:
        """Tell it to stop; return its exit status."""
        self.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; return its exit status, negative for a signal."""
        assert self._process, "not started"
        return self._process.wait(SECONDS_TO_STOP)

    def clear_away(self) -> None:
        """End it and its children, in whatever state they are."""
        if self.running:
            for pid in [self.pid, *self.children]:
                os.kill(pid, signal.SIGKILL)
            self.wait()


class Workers:
    """The workers of a test."""

    def __init__(self, folder: Path, base_ini: Path, by_command: bool) -> None:
        self._folder = folder
        self._base_ini = base_ini
        self._by_command = by_command
        self._workers: list[Worker] = []

    def prepare(self, *arguments: str, **options: Any) -> Worker:
        """Return one more, not started.

        :param arguments: of the command.
        :param options: those of ``ckanext.files.background``.
        """
        number = len(self._workers)
        options = {f"ckanext.files.background.{name}": each for name, each in options.items()}
        if self._by_command:
            ini = self._folder / f"worker-{number}.ini"
            texts = {name: str(value) for name, value in {**TASKS, **options}.items()}
            write_ini(ini, self._base_ini, {"ckan.plugins": PLUGINS, **texts})
            start = command(ini, *arguments)
        else:
            start = forked(self._base_ini, options, *arguments)
        worker = Worker(self._folder / f"worker-{number}.log", start)
        self._workers.append(worker)
        return worker

    def start(self, *arguments: str, **options: Any) -> Worker:
        """Start one more, see :meth:`prepare`; returns when it looks for jobs."""
        worker = self.prepare(*arguments, **options)
        worker.start()
        return worker

    def start_two(self, *arguments: str, **options: Any) -> tuple[Worker, Worker]:
        """Start two at once."""
        one, other = self.prepare(*arguments, **options), self.prepare(*arguments, **options)
        for worker in (one, other):
            worker.launch()
        for worker in (one, other):
            worker.wait_until_ready()
        return one, other

    def stop(self) -> None:
        """End those that still run."""
        for worker in self._workers:
            worker.clear_away()

    def logs(self) -> dict[str, str]:
        """Return what each has printed."""
        return {w.log.name: w.log.read_text() for w in self._workers if w.log.exists()}
