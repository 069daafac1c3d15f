"""A process that ends with the one that has started it: CKAN for the demo, tests and benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

HOST = "127.0.0.1"
WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""Prefix of a command that ends with this process, even if this process is killed."""

SECONDS_TO_START = 120
SECONDS_TO_STOP = 20


class ProcessError(Exception):
    """A process does not do what it is for; the message has the end of its log."""


class Process:
    """A command that can be started, waited for, killed and started again.

    :param log: what it prints is added to this file.
    :param environment: all its variables; without it the variables of this process.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command, self.log, self.environment = command, log, environment
        self._process: subprocess.Popen[Any] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, in a process group of its own."""
        with self.log.open("ab") as log:
            options: Any = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            options |= {"env": self.environment, "start_new_session": True}
            self._process = subprocess.Popen([*WITH_US, *self.command], **options)

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Return when it is ready.

        :raises ProcessError: it has ended, or takes too long.
        """
        end = time.monotonic() + SECONDS_TO_START
        while not is_ready():
            if not self.running or time.monotonic() > end:
                error = self.error("takes too long" if self.running else "has ended")
                self.stop()
                raise error
            time.sleep(0.05)

    def error(self, what: str) -> ProcessError:
        """Return an error that has what it printed last."""
        lines = self.log.read_text(errors="replace").splitlines()[-40:]
        return ProcessError("\n".join([f"{' '.join(self.command)} {what}:", *lines]))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float | None = SECONDS_TO_STOP) -> int:
        """Wait until it has ended; return its exit status, negative for a signal."""
        assert self._process, "not started"
        return self._process.wait(seconds)

    def stop(self) -> None:
        """End it, if it runs, and all that it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.running:
                self.signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self.wait()


class CkanServer(Process):
    """CKAN on a port of the loopback address.

    :param run: the command of ``ckan`` that serves, and its arguments.
    """

    def __init__(
        self,
        ini: Path,
        log: Path,
        port: int,
        environment: Mapping[str, str] | None = None,
        run: Sequence[str] = ("run", "--threaded", "--disable-reloader", "--disable-debugger"),
    ) -> None:
        address = ["--host", HOST, "--port", str(port)]
        super().__init__(["ckan", "-c", str(ini), *run, *address], log, environment)
        self.url = f"http://{HOST}:{port}"

    def wait_until_it_answers(self) -> None:
        """Return when its API answers."""
        self.wait_until(lambda: answers(f"{self.url}/api/3"))


def answers(url: str) -> bool:
    """Return whether there is a page; no proxy is asked for it."""
    with suppress(OSError), build_opener(ProxyHandler({})).open(url, timeout=5):
        return True
    return False


def free_port(preferred: int = 0) -> int:
    """Return the preferred port, or another one if that is taken."""
    with socket.socket() as candidate:
        # as a server does: connections that are just closing do not count
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            candidate.bind((HOST, preferred))
            return preferred or candidate.getsockname()[1]
    return free_port()
