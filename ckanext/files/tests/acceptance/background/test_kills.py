"""Workers and web servers are killed, frozen and disconnected: each step is done exactly once."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
import requests
from ckan import model
from ckan.tests import factories

from ckanext.files.background import Task
from ckanext.files.tests.support import counted_steps, sample
from ckanext.files.tests.support.counted_steps import Findings, Storm
from ckanext.files.tests.support.effects import look, rows
from ckanext.files.tests.support.jobs import S, effects_of
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.waiting import wait_for, wait_for_the_dead
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background", "files_test_probe")


def prepare(task: Task[Any], run: str, jobs: int, steps: int) -> list[str]:
    """Defer jobs; return the datasets that they change."""
    counted_steps.create_tables()
    datasets = [str(factories.Dataset(title="0")["id"]) for _ in range(6)]
    common = {"run": run, "step": 1, "steps": steps, "datasets": datasets}
    task.batch_defer(*({"number": number, **common} for number in range(jobs)))
    model.Session.commit()
    return datasets


def waiting() -> int:
    return look(f"SELECT count(*) FROM {S}.procrastinate_jobs WHERE status IN ('todo', 'doing')")


def owned_by(worker: Worker) -> int:
    jobs = f"SELECT count(*) FROM {S}.procrastinate_jobs"
    return look(f"{jobs} WHERE status = 'doing' AND worker_id = :id", id=worker.id)


def test_exactly_once(
    request: pytest.FixtureRequest, name: str, full_size: bool, record_property: Any
) -> None:
    """CKAN's command at full size; otherwise forks, which are there again at once."""
    workers = request.getfixturevalue("commands" if full_size else "workers")
    jobs, steps = 2000 if full_size else 30, 5
    datasets = prepare(counted_steps.work, name, jobs, steps)
    storm = Storm(
        list(workers.start_two("-c", "4", frozen_after=2 if full_size else 1)),
        kills=120 if full_size else 4,
        freezes=30 if full_size else 1,
        cuts=60 if full_size else 4,
        standstill=(3.0, 4.0) if full_size else (1.5, 2.0),
    )
    start = time.monotonic()
    storm.rage(lambda: jobs * steps if not waiting() else counted_steps.done(name), jobs * steps)
    record_property("seconds", time.monotonic() - start)
    taken = f"SELECT count(*) FROM {S}.procrastinate_events WHERE type = 'deferred_for_retry'"
    record_property("taken_over", look(taken))
    for each in ("kills", "freezes", "cuts", "ended"):
        record_property(each, getattr(storm, each))
    time.sleep(2 if full_size else 0.5)  # for workers that were woken last
    assert counted_steps.examine(name, jobs, steps, datasets, patched=True) == Findings()


def test_the_naive_order_of_commits(workers: Workers, name: str, record_property: Any) -> None:
    """The negative control: the same examination finds what a worker can do wrong."""
    jobs, steps = 24, 3
    datasets = prepare(counted_steps.work_naively, name, jobs, steps)
    both = workers.start_two("-c", "4", frozen_after=1)
    wait_for(lambda: counted_steps.done(name))
    for worker in both:
        worker.freeze()
        wait_for(lambda worker=worker: not owned_by(worker))
        worker.wake()
    for worker in both:
        worker.kill()
        worker.start()
    wait_for(lambda: not waiting())
    findings = counted_steps.examine(name, jobs, steps, datasets, patched=False)
    record_property("findings", findings)
    assert findings.doubled > 0
    assert findings.foul > 0
    assert findings.wrong_counters


def ask_at_each_update() -> None:
    """Have the plugin ``files_test_probe`` of this process ask for jobs named after the changes."""
    ProbePlugin.hooks["before:package_update"] = lambda context, data_dict: sample.write.delay(
        f"{data_dict['id']}-{data_dict['title']}"
    )


@pytest.fixture(scope="module")
def server(lasting_servers: CkanServers, app: Any) -> CkanServer:
    """It asks for a job at each change of a dataset: as many jobs as committed changes."""
    return lasting_servers.fork(app, ask_at_each_update)


@pytest.fixture(scope="module")
def token(loaded: None) -> str:
    return factories.SysadminWithToken()["token"]


def jobs_of(dataset: str) -> list[int]:
    """Return the numbers of the changes that have a job."""
    query = f"""
        SELECT substr(args->>'name', 38)::int FROM {S}.procrastinate_jobs
        WHERE starts_with(args->>'name', :dataset) ORDER BY 1
    """
    return [number for (number,) in rows(query, dataset=dataset)]


def title(dataset: str) -> int:
    return int(look("SELECT title FROM package WHERE id = :id", id=dataset))


def change_until_the_end(server: CkanServer, token: str, dataset: str) -> None:
    """Change a dataset again and again, as long as the server answers."""
    number = title(dataset)
    while True:
        number += 1
        try:
            answer = server.action("package_patch", token, id=dataset, title=str(number))
        except requests.RequestException:
            return
        assert answer.status_code == 200, answer.text


def test_server_is_killed_at_any_time(
    server: CkanServer, token: str, workers: Workers, full_size: bool, record_property: Any
) -> None:
    kills = 30 if full_size else 2
    datasets = [factories.Dataset(title="0")["id"] for _ in range(4)]
    for _ in range(kills):
        before = sum(map(title, datasets))
        clients = [
            threading.Thread(target=change_until_the_end, args=(server, token, dataset))
            for dataset in datasets
        ]
        for client in clients:
            client.start()
        wait_for(lambda before=before: sum(map(title, datasets)) > before)
        time.sleep(random.uniform(0, 1))
        server.kill()
        for client in clients:
            client.join()
        wait_for_the_dead()
        for dataset in datasets:
            assert jobs_of(dataset) == list(range(1, title(dataset) + 1))
        server.start()
    changes = {dataset: title(dataset) for dataset in datasets}
    record_property("kills", kills)
    record_property("changes", sum(changes.values()))
    worker = workers.prepare("-c", "4", "--no-wait")
    worker.launch()
    assert worker.wait() == 0
    for dataset, count in changes.items():
        assert len(effects_of(f"{dataset}-")) == count
