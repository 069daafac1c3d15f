"""A web server is killed while its API calls ask for jobs: as many jobs as committed changes."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
import requests
from ckan.tests import factories

from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import S, effects_of, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.waiting import wait_for, wait_for_the_dead
from ckanext.files.tests.support.workers import Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background")


@pytest.fixture(scope="module")
def server(lasting_servers: CkanServers, schema_installed: None) -> CkanServer:
    return lasting_servers.start(
        {
            "ckan.plugins": "files files_background files_test_probe",
            "ckanext.files.background.task_modules": ("ckanext.files.tests.support.asking_server"),
        }
    )


@pytest.fixture(scope="module")
def token(loaded: None) -> str:
    return factories.SysadminWithToken()["token"]


@pytest.fixture
def running(server: CkanServer) -> CkanServer:
    """The server, started again if it was killed."""
    if not server.running:
        server.start()
    return server


def jobs_of(dataset: str) -> list[int]:
    """Return the numbers of the changes that have a job."""
    query = f"""
        SELECT substr(args->>'name', 38)::int FROM {S}.procrastinate_jobs
        WHERE starts_with(args->>'name', :dataset) ORDER BY 1
    """
    return [number for (number,) in rows(query, dataset=dataset)]


def title(dataset: str) -> int:
    return int(look("SELECT title FROM package WHERE id = :id", id=dataset))


@pytest.mark.parametrize(
    ("death", "numbers"),
    [
        ("killed in the action", []),
        ("killed in a queued task", []),
        ("killed after the commit", [1]),
    ],
)
def test_killed_at_a_certain_point(
    death: str, numbers: list[int], running: CkanServer, token: str
) -> None:
    dataset = factories.Dataset(title="0")["id"]
    with pytest.raises(requests.ConnectionError):
        running.action("package_patch", token, id=dataset, title="1", notes=death)
    running.wait()
    wait_for_the_dead()
    assert jobs_of(dataset) == numbers
    assert title(dataset) == len(numbers)


class Client(threading.Thread):
    """Changes a dataset again and again, as long as the server answers."""

    def __init__(self, server: CkanServer, token: str, dataset: str) -> None:
        super().__init__()
        self._call = lambda number: server.action(
            "package_patch", token, id=dataset, title=str(number), notes=""
        )
        self._number = title(dataset)

    def run(self) -> None:
        while True:
            try:
                answer = self._call(self._number + 1)
            except requests.RequestException:
                return
            assert answer.status_code == 200, answer.text
            self._number += 1


def test_killed_at_any_time(
    running: CkanServer,
    token: str,
    workers: Workers,
    full_size: bool,
    record_property: Any,
) -> None:
    kills = 30 if full_size else 2
    datasets = [factories.Dataset(title="0")["id"] for _ in range(4)]
    for _ in range(kills):
        before = sum(map(title, datasets))
        clients = [Client(running, token, dataset) for dataset in datasets]
        for client in clients:
            client.start()
        wait_for(lambda before=before: sum(map(title, datasets)) > before)
        time.sleep(random.uniform(0, 1))
        running.kill()
        for client in clients:
            client.join()
        wait_for_the_dead()
        for dataset in datasets:
            assert jobs_of(dataset) == list(range(1, title(dataset) + 1))
        running.start()
    changes = {dataset: title(dataset) for dataset in datasets}
    record_property("kills", kills)
    record_property("changes", sum(changes.values()))
    worker = workers.prepare("-c", "4", "--no-wait")
    worker.launch()
    assert worker.wait() == 0
    for dataset, count in changes.items():
        assert len(effects_of(f"{dataset}-")) == count
