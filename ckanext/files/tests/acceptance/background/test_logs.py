"""What a worker tells: as much as somebody who looks after it wants to read, and no more."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import control
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.broken_network import Network
from ckanext.files.tests.support.jobs import (
    let_go,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


def told(worker: Worker) -> list[str]:
    """Return the lines that a worker has written after those of its start."""
    _, _, later = worker.said.partition(" knows: ")
    return later.splitlines()[1:]


def test_a_planned_retry_is_one_line(workers: Workers, unique: Any) -> None:
    name = unique("job")
    worker = workers.start()
    job = sample.flaky.delay(name, 1)
    model.Session.commit()
    wait_for_job(job)
    [line] = told(worker)
    assert f"Job {job.id}: {sample.flaky.name}(name='{name}'" in line
    assert re.search(r"is tried again at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, after .*Retry", line)


def test_a_lost_database_is_two_lines(workers: Workers, network: Network, unique: Any) -> None:
    """One when it is lost and one when it is back, however many threads want something of it.

    Beside these there is a line for a step that has to run again, and one for its transaction.
    """
    name = unique("job")
    worker = workers.start("-c", "3")
    job = tasks.hold_a_lock.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-locked-")
    network.is_down = True
    network.fail()
    time.sleep(3)
    network.is_down = False
    wait_for(lambda: "can be reached again, after" in worker.said)
    let_go(name)
    wait_for_job(job)
    lines = told(worker)
    for part in (
        "The worker has lost the database, and tries to reach it again: ",
        "A transaction was not rolled back, its connection is dropped: ",
        f"Job {job.id}: its step runs again, after ",
        "The database can be reached again, after ",
    ):
        assert len([line for line in lines if part in line]) == 1, part
    assert len(lines) == 4


def test_a_job_that_ends_itself_is_one_line(workers: Workers, unique: Any) -> None:
    """As it was told to: that is no failure."""
    name = unique("job")
    worker = workers.start()
    job = tasks.until_aborted.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    control.cancel(job.id)
    model.Session.commit()
    wait_for_job(job, "aborted")
    [line] = told(worker)
    assert f"Job {job.id}: {tasks.until_aborted.name}(name='{name}') is aborted, after " in line


def test_what_it_waits_for_when_it_stops(workers: Workers, unique: Any) -> None:
    names = [unique("job"), unique("job")]
    worker = workers.start("-c", "3", shutdown_timeout=20)
    jobs = [tasks.hold.delay(name) for name in names]
    model.Session.commit()
    for name in names:
        wait_for_effect(f"{name}-begun")
    worker.terminate()
    wait_for(lambda: "stops" in worker.said)
    for name in names:
        let_go(name)
    assert worker.wait() == 0
    [line] = told(worker)
    assert f"Worker {worker.id} stops: waits up to 20 seconds for job " in line
    for job in jobs:
        assert f"job {job.id} ({tasks.hold.name})" in line


def test_nothing_to_wait_for(workers: Workers) -> None:
    worker = workers.start()
    assert worker.stop() == 0
    [line] = told(worker)
    assert line.endswith(f"Worker {worker.id} stops: no step runs")
