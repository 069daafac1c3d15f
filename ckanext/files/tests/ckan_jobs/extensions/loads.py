"""A script: xloader, as published, loads files while server and worker are killed.

It runs in the environment of the extensions, see ``dev/extensions.txt``, and writes what came of
it into a file. A client makes resources over HTTP, whose files another server has. The server of
CKAN and the worker of ``ckan jobs worker`` are killed at random moments and started again. CKAN
keeps its jobs in Redis, as it does by itself, or on our rows.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import requests

from ckanext.files.tests.ckan_jobs.extensions.observer import MAIN, Observer, database
from ckanext.files.tests.ckan_jobs.extensions.xloader_site import OUR_PLUGINS, Site, Size
from ckanext.files.tests.support.waiting import wait_for
from dev.datastore import WRITE
from dev.process import HOST


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
    """Ids of these that the client knows of."""

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
    """How often the observer has looked."""

    seconds: float


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

    def settle(self, patience: float) -> None:
        """Wait until all is loaded, or nothing more happens for so many seconds."""
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
    loads, observer, began = Loads(site), Observer(site.on_rows), time.monotonic()
    for name in ("files", "server", "worker"):
        site.start(name)
    observer.start()
    made, loaded = measure(loads)
    while len(committed()) < site.size.resources:
        kills = [(random.uniform(0, made + loaded), site.kill_worker)]
        if random.random() < 0.5:
            kills.append((random.uniform(0, made * 1.2), site.kill_server))
        loads.round(*kills)
    # what RQ has lost never comes
    loads.settle(20 + site.size.lines / 2000 if site.on_rows else 3 * (made + loaded))
    site.stop()
    observer.stop()
    missing = loads.missing()
    return Report(
        resources=len(committed()),
        answered=len(loads.answered),
        undone=loads.undone,
        lost=sorted(missing),
        lost_answered=sorted(missing & loads.answered),
        early=sorted(observer.early),
        sleeps=len(site.sleeps.read_text().splitlines()),
        kills=site.kills,
        runs=len(runs := _runs(site)),
        again=sum(len(each) > len(str(uuid.uuid4())) for each in runs),
        looks=observer.looks,
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
