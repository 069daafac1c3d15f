"""Real workers: processes of ``ckan files background worker``, or forks of the tests.

Forks spare the seconds in which CKAN starts. All use the database, Solr and Redis of the test,
can be killed, frozen and woken, and end with the tests.
"""

from __future__ import annotations

import logging.config
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
from ckan.cli.jobs import jobs as ckans_jobs
from ckan.common import config

from ckanext.files.background_plugin.cli import get_commands
from ckanext.files.tests.support.crash import Fork
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.waiting import wait_for

_MODULES = {
    "ckanext.files.background.task_modules": "ckanext.files.tests.support.sample"
    " ckanext.files.tests.support.worker_tasks ckanext.files.tests.support.counted_steps",
}
_READY = re.compile(r"Worker (\d+) \(process \d+ on \S+\) knows ")

Start = Callable[[BinaryIO], "Fork | subprocess.Popen[bytes]"]
"""Starts a process that prints into a file."""


OURS = ("files", "background", "worker")
CKANS = ("jobs", "worker")
"""CKAN's own command for background jobs."""


def command(ini: Path, name: Sequence[str], *arguments: str) -> Start:
    """Start workers by a command of CKAN."""
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    ckan = ("ckan", "-c", str(ini), *name, *arguments)
    return lambda log: subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *ckan],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def forked(
    app: Any, ini: Path, options: Mapping[str, Any], name: Sequence[str], *arguments: str
) -> Start:
    """Start the command's function in forks, with the tasks and the configuration of the tests.

    :param ini: configures the log.
    :param options: more configuration.
    :param name: of the command.
    """
    group, *names = name

    def work() -> None:
        logging.config.fileConfig(ini, disable_existing_loggers=False)
        config.update(options)
        groups = {each.name: each for each in [*get_commands(), ckans_jobs]}
        ckan = click.Context(click.Group("ckan"))
        ckan.meta["flask_app"] = app.flask_app
        groups[group].main([*names, *arguments], parent=ckan)

    return lambda log: Fork(work, log)


def _option(name: str) -> str:
    group, _, option = name.rpartition("__")
    return f"ckanext.files.{group or 'background'}.{option}"


class Worker:
    """A worker, or with ``--processes`` several and the process that looks after them."""

    def __init__(self, log: Path, start: Start) -> None:
        self.log = log
        self._start = start
        self._began = 0
        self._process: Fork | subprocess.Popen[bytes] | None = None
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
    def logged(self) -> list[str]:
        """The lines after its start."""
        _, _, later = self.said.partition(") knows ")
        return later.splitlines()[1:]

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
        wait_for(lambda: len(self.ids) >= workers or not self.running)
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
        os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> int:
        """Tell it to stop; return its exit status."""
        self.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; return its exit status, negative for a signal."""
        assert self._process, "not started"
        return self._process.wait(60)

    def clear_away(self) -> None:
        """End it and its children, in whatever state they are."""
        if self.running:
            for pid in [self.pid, *self.children]:
                os.kill(pid, signal.SIGKILL)
            self.wait()


class Workers:
    """The workers of a test.

    :param app: of the tests, whose forks they are; None for processes of the command.
    :param name: of the command.
    :param plugins: of these processes.
    """

    def __init__(
        self,
        folder: Path,
        base_ini: Path,
        app: Any = None,
        name: Sequence[str] = OURS,
        plugins: str = "files files_background",
    ) -> None:
        self._folder = folder
        self._base_ini = base_ini
        self._app = app
        self._name = name
        self._plugins = plugins
        self._workers: list[Worker] = []

    def prepare(self, *arguments: str, **options: Any) -> Worker:
        """Return one more, not started.

        :param arguments: of the command.
        :param options: options of ``ckanext.files.background``, or of the name before ``__``.
        """
        number = len(self._workers)
        options = {_option(name): value for name, value in options.items()}
        if self._app:
            start = forked(self._app, self._base_ini, options, self._name, *arguments)
        else:
            ini = self._folder / f"worker-{number}.ini"
            texts = {name: str(value) for name, value in options.items()}
            plugins = {"ckan.plugins": self._plugins, **_MODULES}
            write_ini(ini, self._base_ini, {**plugins, **texts})
            start = command(ini, self._name, *arguments)
        worker = Worker(self._folder / f"worker-{number}.log", start)
        self._workers.append(worker)
        return worker

    def start(self, *arguments: str, **options: Any) -> Worker:
        """Start one more, see :meth:`prepare`; returns when it looks for jobs."""
        worker = self.prepare(*arguments, **options)
        worker.start()
        return worker

    def start_two(self, *arguments: str, **options: Any) -> tuple[Worker, Worker]:
        both = self.prepare(*arguments, **options), self.prepare(*arguments, **options)
        for worker in both:
            worker.launch()
        for worker in both:
            worker.wait_until_ready()
        return both

    def stop(self) -> None:
        """End those that still run."""
        for worker in self._workers:
            worker.clear_away()

    def logs(self) -> dict[str, str]:
        """Return what each has printed."""
        return {w.log.name: w.log.read_text() for w in self._workers if w.log.exists()}
