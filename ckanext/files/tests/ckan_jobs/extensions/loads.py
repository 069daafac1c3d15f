"""A script: xloader, as published, loads files while server and worker are killed.

It runs in the environment of the extensions, see ``dev/extensions.txt``, and writes what came of
it into a file. A client makes resources over HTTP, whose files another server has. The server of
CKAN and the worker of ``ckan jobs worker`` are killed at random moments and started again. CKAN
keeps its jobs in Redis, as it does by itself, or on our rows.
"""

from __future__ import annotations

import argparse
import json
import logging.config
import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import psycopg2
import requests
from ckan import model
from ckan.cli import load_config
from ckan.common import config
from ckan.config.middleware import make_app
from werkzeug.serving import make_server

from ckanext.files.background import schema
from ckanext.files.tests.ckan_jobs.extensions.hurried import OPTION
from ckanext.files.tests.ckan_jobs.extensions.witness import MAIN, Witness, database
from ckanext.files.tests.support.crash import Fork
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import CKANS, forked
from dev.datastore import WRITE
from dev.process import HOST, answers, free_port

PLUGINS = "datastore xloader files_test_hurried"
OUR_PLUGINS = {"redis": "", "rows": "files files_background files_jobs"}
OUR_PLUGINS["held"] = f"{OUR_PLUGINS['rows']} files_test_held"
"""Loaded before them; with the last one ``resource_create`` is one commit from its start on."""


class Size(NamedTuple):
    """How much is done."""

    resources: int
    """How many resources there are in the end; others are undone by a kill."""

    lines: int
    """Of each file."""


class Report(NamedTuple):
    """What came of it."""

    resources: int
    """How many are committed."""

    answered: int
    """How many of them the client knows of."""

    undone: int
    """Requests that were killed before their commit."""

    lost: list[str]
    """Ids of committed resources that are not loaded completely."""

    lost_answered: list[str]
    """Those of them that the client knows of."""

    early: list[str]
    """Ids of resources that had a job or a table before their commit."""

    sleeps: int
    """How often xloader would have waited for a resource that it had not found."""

    kills: dict[str, int]
    runs: int
    """How often jobs have begun to load."""

    again: int
    """How many of these are second and later runs of a job, which have ids of their own."""

    looks: int
    """How often the witness has looked."""

    seconds: float


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


class Loads:
    """The resources, and what becomes of them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.answered: set[str] = set()
        self.undone = 0
        self._numbers = iter(range(10**9))

    def make(self, package: str, number: int) -> None:
        """Make a resource as a client does, whose file has the number."""
        url = f"http://{HOST}:{self.site.files_port}/{number}.csv"
        data = {"package_id": package, "url": url, "format": "CSV", "name": str(number)}
        headers = {"Authorization": self.site.token}
        action = f"{self.site.url}/api/action/resource_create"
        try:
            answer = requests.post(action, json=data, headers=headers, timeout=60)
        except requests.ConnectionError:
            return
        answer.raise_for_status()
        self.answered.add(answer.json()["result"]["id"])

    def round(self, *kills: tuple[float, Callable[[], None]]) -> None:
        """Make a resource, and kill at so many seconds from then on."""
        number = next(self._numbers)
        package = self.site.call("package_create", name=f"dataset-{number}")["id"]
        client = threading.Thread(target=self.make, args=(package, number))
        began = time.monotonic()
        client.start()
        for moment, kill_one in sorted(kills, key=lambda each: each[0]):
            time.sleep(max(0, began + moment - time.monotonic()))
            kill_one()
        client.join()
        self.undone += str(number) not in committed()

    def missing(self) -> set[str]:
        """Return the ids of committed resources that are not loaded completely."""
        with database(WRITE) as rows:
            return {
                each for name, each in committed().items() if not self._is_loaded(rows, each, name)
            }

    def _is_loaded(self, rows: Any, resource: str, name: str) -> bool:
        query = (
            "count(*), count(DISTINCT line), count(_full_text), min(file::text), max(file::text)"
        )
        try:
            found = rows(f'SELECT {query} FROM "{resource}"')
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
            return False
        return found == [(self.site.size.lines,) * 3 + (name, name)]

    def settle(self) -> None:
        """Wait until all is loaded, or nothing more happens."""
        patience = 20 + self.site.size.lines / 2000
        last, since = self.missing(), time.monotonic()
        while last and time.monotonic() < since + patience:
            time.sleep(0.5)
            if (now := self.missing()) != last:
                last, since = now, time.monotonic()


def committed() -> dict[str, str]:
    """Return the ids of the resources that are committed, by name."""
    with database(MAIN) as rows:
        return dict(rows("SELECT name, id FROM resource"))


def run(site: Site) -> Report:
    """Load as many as the size says, and look after each."""
    loads, witness, began = Loads(site), Witness(site.on_rows), time.monotonic()
    for name in ("files", "server", "worker"):
        site.start(name)
    witness.start()
    made, loaded = measure(loads)
    while len(committed()) < site.size.resources:
        kills = [(random.uniform(0, made + loaded), site.kill_worker)]
        if random.random() < 0.5:
            kills.append((random.uniform(0, made * 1.2), site.kill_server))
        loads.round(*kills)
    loads.settle()
    site.stop()
    witness.stop()
    missing = loads.missing()
    return Report(
        resources=len(committed()),
        answered=len(loads.answered),
        undone=loads.undone,
        lost=sorted(missing),
        lost_answered=sorted(missing & loads.answered),
        early=sorted(witness.early),
        sleeps=len(site.sleeps.read_text().splitlines()),
        kills=site.kills,
        runs=len(runs := _runs(site)),
        again=sum(len(each) > len(str(uuid.uuid4())) for each in runs),
        looks=witness.looks,
        seconds=round(time.monotonic() - began, 1),
    )


def measure(loads: Loads) -> tuple[float, float]:
    """Return the seconds in which a resource is made, and in which it is loaded then."""
    began = time.monotonic()
    loads.round()
    made = time.monotonic()
    wait_for(lambda: not loads.missing(), 120)
    return made - began, time.monotonic() - made


def _runs(site: Site) -> list[str]:
    """Return the ids of the runs that have got as far as to write theirs down."""
    with closing(sqlite3.connect(site.xloader_db)) as connection:
        return [each for (each,) in connection.execute("SELECT job_id FROM jobs")]


def main() -> None:
    """Run, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ini", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("resources", type=int)
    parser.add_argument("lines", type=int)
    parser.add_argument("jobs", choices=OUR_PLUGINS)
    given = parser.parse_args()
    site = Site(given.ini, given.folder, given.jobs, Size(given.resources, given.lines))
    try:
        report = run(site)
    finally:
        site.stop()
    (given.folder / "report.json").write_text(json.dumps(report._asdict()))


if __name__ == "__main__":
    main()
