"""Workers that are forks of the tests."""

from __future__ import annotations

import ctypes
import logging.config
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click
from ckan.common import config
from ckan.tests.helpers import _get_test_app

from ckanext.files.background_plugin.cli import get_commands
from ckanext.files.tests.support.crash import fork

_PR_SET_PDEATHSIG = 1


class Fork:
    """For a function what :class:`subprocess.Popen` is for a command."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.pid = fork(run)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float) -> int:
        """Wait for so many seconds at most until it has ended."""
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"Process {self.pid} has not ended after {timeout} seconds")
            time.sleep(0.01)
        return status


def forked(ini: Path, options: Mapping[str, Any], *arguments: str) -> Callable[[BinaryIO], Fork]:
    """Start ``ckan files background worker`` in forks.

    They have the plugins, the tasks and the configuration of the tests.

    :param ini: configures the log.
    :param options: more configuration.
    """
    app = _get_test_app().flask_app

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.config.fileConfig(ini, disable_existing_loggers=False)
        config.update(options)
        [files] = get_commands()
        ckan = click.Context(click.Group("ckan"))
        ckan.meta["flask_app"] = app
        files.main(["background", "worker", *arguments], standalone_mode=False, parent=ckan)

    def start(log: BinaryIO) -> Fork:
        def run() -> None:
            _end_with_the_tests()
            _print_into(log)
            work()

        return Fork(run)

    return start


def _end_with_the_tests() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _print_into(log: BinaryIO) -> None:
    """Leave pytest's capturing."""
    for number in (1, 2):
        os.dup2(log.fileno(), number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
