"""Processes that are forks of the tests: they have their plugins, and spare CKAN's start."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from ckanext.files.tests.support.crash import fork

_PR_SET_PDEATHSIG = 1


class Fork:
    """For a function what :class:`subprocess.Popen` is for a command.

    It ends with the tests.
    """

    def __init__(self, run: Callable[[], Any], log: BinaryIO) -> None:
        def run_and_print() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _print_into(log)
            try:
                run()
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(int(end.code or 0))

        self.pid = fork(run_and_print)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float | None = 60) -> int:
        """Wait until it has ended."""
        end = time.monotonic() + (timeout or 60)
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 60)
            time.sleep(0.01)
        return status


def _print_into(log: BinaryIO) -> None:
    """Leave pytest's capturing."""
    for number in (1, 2):
        os.dup2(log.fileno(), number)
    threading.excepthook = threading.__excepthook__
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
