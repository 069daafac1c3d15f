"""A CKAN in a process of its own, that answers over HTTP.

It uses the database, Solr and Redis of the test, and is therefore for tests
that look from outside or kill it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import requests
from ckan.common import config
from werkzeug.serving import make_server

from ckanext.files.tests.support.crash import Fork
from dev.process import HOST, free_port
from dev.process import CkanServer as Ckan


class CkanServer(Ckan):
    """``ckan run`` on a free port of the loopback address.

    :param folder: for its configuration and its log.
    :param base_ini: the configuration of the test, which it builds on.
    :param options: configuration options that differ from that.
    :param environment: variables in addition to the test's.
    """

    def __init__(
        self,
        folder: Path,
        base_ini: Path,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.ini = folder / "ckan.ini"
        variables = {**os.environ, **(environment or {})}
        variables.pop("CKAN_SITE_URL", None)
        super().__init__(self.ini, folder / "ckan.log", self.port, variables)
        # as a portal has it: errors are pages, and forms need their token
        portal = {"ckan.site_url": self.url, "testing": "false", "WTF_CSRF_ENABLED": "true"}
        # otherwise a browser asks for each script and picture on each page; and what of ours a
        # browser must not keep is stale with it
        portal["ckan.cache_expires"] = "3600"
        write_ini(self.ini, base_ini, {**portal, **(options or {})})

    def __repr__(self) -> str:
        return f"<CKAN at {self.url}>"

    def start(self) -> None:
        """Start it, also again, and return when it answers."""
        super().start()
        self.wait_until_it_answers()

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


class ForkedServer(CkanServer):
    """A fork of the tests that serves their application.

    :param before: is called first.
    :param threaded: each request has a thread; otherwise one thread answers all and outlives
        those that fail, as each thread of a server's pool does.
    """

    def __init__(
        self, folder: Path, base_ini: Path, app: Any, before: Callable[[], Any], threaded: bool
    ) -> None:
        super().__init__(folder, base_ini)
        self._app = app
        self._before = before
        self._threaded = threaded

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process: Any = Fork(self._serve, log)
        self.wait_until_it_answers()

    def _serve(self) -> None:
        self._before()
        config["ckan.site_url"] = self.url
        self._app.flask_app.testing = False
        make_server(HOST, self.port, self._app.app, threaded=self._threaded).serve_forever()


class CkanServers:
    """The servers of a test, each with a folder of its own."""

    def __init__(self, folder: Path, base_ini: Path) -> None:
        self._folder = folder
        self._base_ini = base_ini
        self._servers: list[CkanServer] = []

    def start(self, options: Mapping[str, str]) -> CkanServer:
        """Start one more by CKAN's command; see :class:`CkanServer`."""
        return self._start(CkanServer(self._new_folder(), self._base_ini, options))

    def fork(
        self, app: Any, before: Callable[[], Any] = bool, *, threaded: bool = True
    ) -> CkanServer:
        """Start one more as a fork of the tests; see :class:`ForkedServer`."""
        return self._start(ForkedServer(self._new_folder(), self._base_ini, app, before, threaded))

    def _new_folder(self) -> Path:
        folder = self._folder / f"ckan-{len(self._servers)}"
        folder.mkdir()
        return folder

    def _start(self, server: CkanServer) -> CkanServer:
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
