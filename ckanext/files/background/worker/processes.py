"""Several worker processes, and their parent, which replaces those that die."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

from ckan import model, plugins

from .. import schema
from .environment import close_connections
from .options import WorkerOptions
from .worker import SIGNALS, run_worker

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds before a worker that has died is replaced."""

_USED_UP = 3
"""The status of a process that is to be replaced, though nothing is wrong with it."""


def run_processes(flask_app: Any, options: WorkerOptions, count: int) -> None:
    """Run workers in processes of their own until a signal ends them.

    This process replaces a worker that dies, or has run ``max_jobs``; it has neither
    connections to the database nor threads. When it ends, its workers stop soon.

    :raises NotInstalledError: the tables are missing.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what tasks print appears at once, also in a log file
        sys.stdout.reconfigure(line_buffering=True)
    if count == 1 and not options.max_jobs:
        run_worker(flask_app, options)
        return
    _Processes(flask_app, options).run(count)


class _Processes:
    def __init__(self, flask_app: Any, options: WorkerOptions) -> None:
        self._flask_app = flask_app
        self._options = options
        self._pid = os.getpid()
        self._pids: set[int] = set()
        self._stopping = False

    def run(self, count: int) -> None:
        engine: Any = model.meta.engine
        with engine.connect() as connection:
            schema.check(connection)  # without tables each worker would end at once
        close_connections()
        for number in SIGNALS:
            signal.signal(number, self._stop)
        for _ in range(count):
            self._start()
        while self._pids:
            pid, status = os.wait()
            if pid not in self._pids:
                continue  # the first process of a container becomes the parent of orphans
            self._pids.remove(pid)
            if self._stopping or (status == 0 and self._options.may_end):
                continue
            if os.waitstatus_to_exitcode(status) != _USED_UP:
                log.error("Worker process %s has ended with status %s", pid, status)
                time.sleep(_PAUSE)
            self._start()

    def _start(self) -> None:
        for plugin in plugins.PluginImplementations(plugins.IForkObserver):
            plugin.before_fork()
        # a signal that comes now must stop the new worker, too
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if not self._stopping:
            pid = os.fork()
            if not pid:
                self._work()
            self._pids.add(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _work(self) -> NoReturn:
        """Run the worker in the forked process."""
        status = 1
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            used_up = run_worker(self._flask_app, self._options, parent=self._pid)
            status = _USED_UP if used_up else 0
        except BaseException:
            log.exception("A worker has failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
