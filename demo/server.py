"""The real web server and the real worker, each in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import requests

from . import process

HOST = "127.0.0.1"
START_SECONDS = 120


class ServerError(Exception):
    """The web server did not start."""


class Server:
    """CKAN's own web server, started by the command ``demo-site``."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def tokens(self) -> dict[str, str]:
        """Return the API token of each user, once they are made.

        :raises ServerError: CKAN has ended before.
        """
        assert self._process.stdout
        *_, last = ["", *self._process.stdout]
        if not last.startswith("{"):
            raise ServerError("the site could not be started")
        return json.loads(last)

    def wait_until_ready(self) -> None:
        """Return when the site answers.

        :raises ServerError: it has ended, or takes too long.
        """
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerError("the web server has ended")
            if time.monotonic() > end:
                raise ServerError(f"the web server does not answer within {START_SECONDS} s")
            time.sleep(0.1)

    def _answers(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False  # no proxy for the loopback address
            try:
                return session.get(f"{self.url}/api/3", timeout=5).ok
            except requests.RequestException:
                return False

    def wait(self) -> int:
        """Return when the server has ended."""
        return self._process.wait()


@contextmanager
def serve(ini: Path, log: Path, port: int, environment: Mapping[str, str]) -> Iterator[Server]:
    """Start CKAN, and stop it at the end."""
    command = ["demo-site", HOST, str(port)]
    with process.start(ini, log, environment, *command, output=subprocess.PIPE) as started:
        yield Server(started, f"http://{HOST}:{port}")


@contextmanager
def work(ini: Path, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Start a worker, and stop it at the end."""
    command = ["files", "background", "worker", "--concurrency", "2"]
    with process.start(ini, log, environment, *command):
        yield


def free_port(preferred: int) -> int:
    """Return the preferred port, or another one when that is taken."""
    for port in (preferred, 0):
        with closing(socket.socket()) as candidate:
            # as the server does: connections that are just closing do not count
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return candidate.getsockname()[1]
    raise ServerError("no free port")
