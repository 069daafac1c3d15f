"""A real CKAN in a process of its own, that answers over HTTP.

It uses the database, Solr and Redis of the test, and is therefore for tests
that look from outside or kill it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import requests

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 20


class CkanServer:
    """``ckan run`` on a free port of the loopback address.

    :param folder: for its configuration and its log.
    :param base_ini: the configuration of the test, which it builds on.
    :param options: configuration options that differ from that.
    :param environment: variables in addition to those of the test.
    :param in_one_thread: one thread answers all requests, and outlives those that fail.
    """

    def __init__(
        self,
        folder: Path,
        base_ini: Path,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        in_one_thread: bool = False,
    ) -> None:
        self._in_one_thread = in_one_thread
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.ini = folder / "ckan.ini"
        self.log = folder / "ckan.log"
        # as a portal has it: errors are pages, and forms need their token
        portal = {"ckan.site_url": self.url, "testing": "false", "WTF_CSRF_ENABLED": "true"}
        write_ini(self.ini, base_ini, {**portal, **(options or {})})
        self.environment = {**os.environ, **(environment or {})}
        self.environment.pop("CKAN_SITE_URL", None)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<CKAN at {self.url}>"

    @property
    def pid(self) -> int:
        """Number of the process, which answers the requests itself."""
        assert self._process, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, also again, and return when it answers."""
        # it ends with the tests even if they are killed
        command = ["setpriv", "--pdeathsig", "TERM", *self._command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_for_answer(self._process)

    def _command(self) -> list[str]:
        if self._in_one_thread:
            module = "ckanext.files.tests.acceptance.one_thread"
            return [sys.executable, "-m", module, str(self.ini), str(self._port)]
        command = ["ckan", "-c", str(self.ini), "run", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--threaded"]
        return [*command, "--disable-reloader", "--disable-debugger"]

    def stop(self) -> None:
        """End it, if it runs."""
        if not self._process or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power failure does."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself; return its exit status, negative for a signal."""
        assert self._process, "not started"
        return self._process.wait(_SECONDS_TO_STOP)

    def action(self, name: str, token: str = "", /, **data: Any) -> requests.Response:
        """Call an action of the API as JSON."""
        return requests.post(
            f"{self.url}/api/action/{name}", json=data, headers=_headers(token), timeout=60
        )

    def upload(self, token: str, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file; return what CKAN says of it."""
        response = requests.post(
            f"{self.url}/api/action/file_create",
            files={"upload": (name, content)},
            headers=_headers(token),
            timeout=60,
        )
        response.raise_for_status()
        return response.json()["result"]

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < end:
            if process.poll() is not None:
                raise AssertionError(f"CKAN ended at its start:\n{self.log.read_text()}")
            try:
                self.action("status_show")
                return
            except requests.ConnectionError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError(f"CKAN does not answer:\n{self.log.read_text()}")


class CkanServers:
    """The servers of a test, each with a folder of its own."""

    def __init__(self, folder: Path, base_ini: Path) -> None:
        self._folder = folder
        self._base_ini = base_ini
        self._servers: list[CkanServer] = []

    def start(
        self,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        in_one_thread: bool = False,
    ) -> CkanServer:
        """Start one more; see :class:`CkanServer`."""
        folder = self._folder / f"ckan-{len(self._servers)}"
        folder.mkdir()
        server = CkanServer(
            folder, self._base_ini, options, environment, in_one_thread=in_one_thread
        )
        self._servers.append(server)
        server.start()
        return server

    def stop(self) -> None:
        """End those that still run."""
        for server in self._servers:
            server.stop()

    def logs(self) -> dict[str, str]:
        """Return what each has printed."""
        return {str(server): server.log.read_text() for server in self._servers}


def write_ini(ini: Path, base_ini: Path, options: Mapping[str, str]) -> None:
    """Write a configuration that differs from another one in some options."""
    # not "use = config:...": CKAN follows that only to a file that has such a line itself
    parser = RawConfigParser()
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read(base_ini)
    for name, value in options.items():
        parser.set("app:main", name, value.replace("%", "%%"))
    with ini.open("w") as file:
        parser.write(file)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": token} if token else {}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
