"""A site with xloader, whose server and worker can be killed and start again at once."""

from __future__ import annotations

import logging.config
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan import model
from ckan.cli import load_config
from ckan.common import config
from ckan.config.middleware import make_app
from werkzeug.serving import make_server

from ckanext.files.background import schema
from ckanext.files.background.worker import stalled
from ckanext.files.tests.ckan_jobs.extensions.no_sleeps import OPTION
from ckanext.files.tests.support.crash import Fork
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import CKANS, forked
from dev.process import HOST, answers, free_port

PLUGINS = "datastore xloader files_test_no_sleeps"
OUR_PLUGINS = {"redis": "", "rows": "files files_background files_jobs"}
"""Loaded before them, by the place where the jobs are."""


class Size(NamedTuple):
    """How much is done."""

    resources: int
    """How many resources there are in the end; others are undone by a kill."""

    lines: int
    """Of each file."""


class Site:
    """A site with a server and a worker, which are forks of this process.

    :param jobs: where they are, a key of :data:`OUR_PLUGINS`.
    """

    def __init__(self, base_ini: Path, folder: Path, jobs: str, size: Size) -> None:
        self.size, self.folder, self.on_rows = size, folder, jobs != "redis"
        self.port, self.files_port = free_port(), free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.xloader_db, self.sleeps = folder / "xloader.db", folder / "sleeps"
        self.sleeps.touch()
        self.kills = {"server": 0, "worker": 0, "process of the worker": 0}
        self.ini = folder / "ckan.ini"
        os.environ.pop("CKAN_SITE_URL", None)
        options = {
            "ckan.plugins": f"{OUR_PLUGINS[jobs]} {PLUGINS}",
            "ckan.site_url": self.url,
            "testing": "false",
            "ckanext.xloader.jobs_db.uri": f"sqlite:///{self.xloader_db}",
            OPTION: str(self.sleeps),
        }
        # a job may be killed often, and is not to blame
        ours = {"ckanext.files.background.most_rescues": "1000"} if self.on_rows else {}
        write_ini(self.ini, base_ini, {**options, **ours})
        self.app: Any = make_app(load_config(str(self.ini)))
        logging.config.fileConfig(self.ini, disable_existing_loggers=False)
        self._prepare()
        self._processes: dict[str, Fork] = {}

    def _prepare(self) -> None:
        if self.on_rows:
            schema.ensure(model.meta.engine)
            # jobs of a worker that is killed go on soon
            setattr(stalled, "_RECONNECTING", 1.0)  # noqa: B010
        self.user = self.call("get_site_user")["name"]
        self.token = self.call("api_token_create", user=self.user, name="loads")["token"]
        config["ckanext.xloader.api_token"] = self.token

    def call(self, action: str, /, **data: Any) -> Any:
        """Call an action in this process."""
        context: Any = {"ignore_auth": True, "user": getattr(self, "user", "")}
        with self.app._wsgi_app.test_request_context():
            result = tk.get_action(action)(context, data)
            model.Session.remove()
        return result

    def start(self, name: str) -> None:
        """Start one of the processes."""
        for plugin in p.PluginImplementations(p.IForkObserver):
            plugin.before_fork()
        start: Callable[..., Any] = {
            "files": lambda log: Fork(self._serve_files, log),
            "server": lambda log: Fork(self._serve, log),
            "worker": forked(
                SimpleNamespace(flask_app=self.app._wsgi_app),
                self.ini,
                {},
                CKANS,
            ),
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = start(log)
        if name == "server":
            wait_for(lambda: answers(f"{self.url}/api/3"))

    def _serve(self) -> None:
        make_server(HOST, self.port, self.app, threaded=True).serve_forever()

    def _serve_files(self) -> None:
        size = self.size

        class Handler(BaseHTTPRequestHandler):
            """Has a file for each number."""

            def do_GET(self) -> None:
                number = self.path.strip("/").partition(".")[0]
                lines = (f"{number},{line},text of line {line}\n" for line in range(size.lines))
                content = "".join(["file,line,text\n", *lines]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/csv")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        ThreadingHTTPServer((HOST, self.files_port), Handler).serve_forever()

    def kill_server(self) -> None:
        """Kill the server, and start it again."""
        self._kill("server")
        self.start("server")

    def kill_worker(self) -> None:
        """Kill the worker and start it again, or only the process that runs its job."""
        if random.random() < 0.5:
            self._kill("worker")
            self.start("worker")
        else:
            for pid in family(self._processes["worker"].pid)[1:]:
                kill(pid)
            self.kills["process of the worker"] += 1

    def _kill(self, name: str) -> None:
        for pid in family(self._processes[name].pid):
            kill(pid)
        self._processes[name].wait()
        self.kills[name] += 1

    def stop(self) -> None:
        """Let the worker end its job, and end all."""
        if (worker := self._processes.get("worker")) and worker.poll() is None:
            os.kill(worker.pid, signal.SIGTERM)
            with suppress(Exception):
                worker.wait()
        for process in self._processes.values():
            if process.poll() is None:
                for pid in family(process.pid):
                    kill(pid)
                process.wait()


def family(pid: int) -> list[int]:
    """Return the ids of a process and of all that it has started."""
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, path.read_text().split())
    return [pid, *(each for child in children for each in family(child))]


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
