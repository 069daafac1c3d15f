"""Ending workers: by signals, by themselves, one and several processes; and what they log."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from ckan import model

from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import look, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_running_step_ends(number: int, workers: Workers, name: str) -> None:
    """The worker logs what it waits for. What waits is left to others."""
    # killed workers of other tests have left their rows
    earlier = look(f"SELECT coalesce(max(id), 0) FROM {jobs.S}.procrastinate_workers")
    worker = workers.start("-c", "2", shutdown_timeout=20)
    running = [jobs.begun(tasks.hold, f"{name}-{n}") for n in range(2)]
    waiting = jobs.defer(tasks.hold, f"{name}-2")
    os.kill(worker.pid, number)
    wait_for(lambda: "stops" in worker.said)
    jobs.wait_for_heartbeats(worker.id)
    assert worker.running
    for n in range(2):
        jobs.let_go(f"{name}-{n}")
    assert worker.wait() == 0
    assert [jobs.state(job) for job in (*running, waiting)] == ["succeeded", "succeeded", "todo"]
    assert len(jobs.effects_of(name)) == 4
    left = f"SELECT count(*) FROM {jobs.S}.procrastinate_workers WHERE id > :earlier"
    assert look(left, earlier=earlier) == 0
    [line] = worker.logged
    assert f"Worker {worker.id} stops: waits up to 20 seconds for job " in line
    for job in running:
        assert f"job {job.id} ({tasks.hold.name})" in line


@pytest.mark.usefixtures("only_notified")
def test_signal_while_it_waits(workers: Workers) -> None:
    worker = workers.start("-c", "4")
    assert worker.stop() == 0
    [line] = worker.logged
    assert line.endswith(f"Worker {worker.id} stops: no step runs")


def test_a_job_that_goes_on_is_handed_back(workers: Workers, name: str) -> None:
    asked = [jobs.defer(tasks.steps, f"{name}-{n}", 1, 40, 0.05) for n in range(4)]
    one, other = workers.prepare("-c", "4"), workers.prepare("-c", "4")
    one.start()
    jobs.wait_for_effect(f"{name}-3-0002")
    assert one.stop() == 0
    for job in asked:
        assert (jobs.state(job), jobs.state(job, "worker_id")) == ("doing", None)
    other.start()
    jobs.wait_for_job(*asked)
    for job in asked:
        assert jobs.state(job, "attempts") == 1  # no worker had to take it away
    assert jobs.effects_of(name) == [f"{name}-{n}-{s:04}" for n in range(4) for s in range(1, 41)]


def test_a_step_that_takes_longer_than_a_frozen_worker_gets(workers: Workers, name: str) -> None:
    """The worker gives signs of life while it waits for the end of its steps."""
    ending = workers.start(shutdown_timeout=600)
    job = jobs.begun(tasks.hold_at_first, name)
    ending.terminate()
    wait_for(lambda: "stops" in ending.said)
    workers.start(frozen_after=3)
    stopped = jobs.last_heartbeat(ending.id)
    wait_for(lambda: (jobs.last_heartbeat(ending.id) - stopped).total_seconds() > 4)
    jobs.let_go(name)
    assert ending.wait() == 0
    assert (jobs.state(job), jobs.state(job, "attempts")) == ("succeeded", 1)
    assert len(jobs.effects_of(f"{name}-begun-")) == 1


def test_a_step_that_takes_too_long_is_handed_back(workers: Workers, name: str) -> None:
    """Nothing of it has happened. It asks again for what it had asked for: that is no loss."""
    job = jobs.defer(tasks.ask_and_hold, name)
    worker = workers.start(shutdown_timeout=1)
    jobs.wait_for_effect(f"{name}-begun")
    start = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - start >= 1
    assert f"Job {job.id} is handed back" in worker.said
    assert "ERROR" not in worker.said
    found = [jobs.state(job, column) for column in ("status", "worker_id", "attempts")]
    assert found == ["todo", None, 0]
    assert jobs.events_of(job) == ["deferred"]
    jobs.let_go(name)
    worker.start()
    jobs.wait_for_job(job)
    assert jobs.state(job, "coalesce(rescues, 0)") == 0  # its own step is not to blame
    assert jobs.state(job, "attempts") == 1
    assert jobs.events_of(job) == ["deferred", "started", "succeeded"]
    assert jobs.effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_a_later_step_that_takes_too_long_is_handed_back(workers: Workers, name: str) -> None:
    """The job has begun, which its history tells; the step has not."""
    job = jobs.defer(tasks.steps, name, 1, 2, 0, [2])
    worker = workers.start(shutdown_timeout=1)
    jobs.wait_for_effect(f"{name}-0002-holds")
    assert worker.stop() == 0
    assert (jobs.state(job, "step"), jobs.state(job, "attempts")) == (1, 0)
    assert jobs.events_of(job) == ["deferred", "started"]
    jobs.let_go(f"{name}-0002")
    worker.start()
    jobs.wait_for_job(job)
    assert jobs.events_of(job) == ["deferred", "started", "succeeded"]


def test_a_queueing_lock_that_is_just_asked_for(workers: Workers, name: str) -> None:
    """The worker does not wait for that commit, and other workers do not, either."""
    job = jobs.defer(tasks.hold.configure(queueing_lock=name), name)
    worker = workers.start(shutdown_timeout=1)
    jobs.wait_for_effect(f"{name}-begun")
    sample.noop.configure(queueing_lock=name, queue="other").delay()
    worker.terminate()
    wait_for(lambda: not worker.running, 20)
    assert jobs.state(job, "worker_id") is None
    jobs.let_go(name)
    worker.start()
    jobs.wait_for_job(job)
    model.Session.rollback()


def test_the_database_cannot_be_reached(workers: Workers, network: Proxy, name: str) -> None:
    """The worker ends in time, without an error, and says so; others take its jobs."""
    job = jobs.defer(tasks.hold_at_first, name)
    worker = workers.start(shutdown_timeout=1)
    jobs.wait_for_effect(f"{name}-begun")
    network.refuse = True
    network.lose()
    assert worker.stop() == 0
    assert worker.said.count("The end of the worker cannot be written") == 1
    network.refuse = False
    jobs.cut(jobs.sessions_of(worker.id))  # as TCP does sooner or later
    workers.start()
    jobs.wait_for_job(job)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_no_wait(processes: str, workers: Workers, name: str) -> None:
    """It ends when nothing waits any more, also when what runs asks for more."""
    asked = [jobs.defer(tasks.steps, f"{name}-{n}", 1, 5, 0.05) for n in range(10)]
    later = jobs.defer(sample.write.configure(countdown=3600), f"{name}-later")
    worker = workers.prepare("-c", "4", "--no-wait", "--processes", processes)
    worker.launch()
    assert worker.wait() == 0
    assert {jobs.state(job) for job in asked} == {"succeeded"}
    assert jobs.state(later) == "todo"
    assert len(jobs.effects_of(name)) == 50


def test_processes(commands: Workers, name: str) -> None:
    """All work; one that was killed is replaced; a signal to their parent ends them all.

    With CKAN's own command. Other tests have forks as workers, except at full size in test_kills.
    """
    worker = commands.prepare("-c", "2", "--processes", "2")
    worker.start(workers=2)
    assert len(worker.children) == 2
    asked = [jobs.defer(tasks.hold_at_first, f"{name}-{n}") for n in range(4)]
    for n in range(4):
        jobs.wait_for_effect(f"{name}-{n}-begun-0")
    owners = {jobs.state(job, "worker_id") for job in asked}
    assert owners == set(worker.ids)

    killed = worker.children[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(worker.ids) == 3)
    assert len(worker.children) == 2
    assert killed not in worker.children
    wait_for(lambda: [jobs.state(job) for job in asked].count("succeeded") == 2)

    for pid in worker.children:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(worker.ids) == 5)
    jobs.wait_for_job(*asked)
    assert len(jobs.effects_of(f"{name}-")) == 12

    children = worker.children
    assert worker.stop() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    left = f"SELECT id FROM {jobs.S}.procrastinate_workers WHERE id = ANY (:ids)"
    assert rows(left, ids=worker.ids[-2:]) == []


@pytest.fixture
def pair(workers: Workers) -> Worker:
    """Two processes, and their parent."""
    worker = workers.prepare("--processes", "2")
    worker.start(workers=2)
    return worker


def test_signal_to_the_group(pair: Worker, name: str) -> None:
    """Ctrl-C in a terminal, and systemd, tell the children too."""
    asked = [jobs.begun(tasks.hold, f"{name}-{n}") for n in range(2)]
    for pid in [*pair.children, pair.pid]:
        os.kill(pid, signal.SIGINT)
    for n in range(2):
        jobs.let_go(f"{name}-{n}")
    assert pair.wait() == 0
    assert [jobs.state(job) for job in asked] == ["succeeded", "succeeded"]


def test_signal_while_a_worker_is_replaced(pair: Worker) -> None:
    os.kill(pair.children[0], signal.SIGKILL)
    wait_for(lambda: "has ended with status 9" in pair.said)
    assert pair.stop() == 0
    assert len(pair.ids) == 2


def test_parent_is_killed(pair: Worker, name: str) -> None:
    """Workers end when the process is gone that looks after them."""
    job = jobs.begun(tasks.hold, name)
    children = pair.children
    pair.kill()
    wait_for(lambda: pair.said.count("looks after this worker is gone") == 2)
    jobs.let_go(name)
    wait_for(lambda: not [pid for pid in children if _runs(pid)])
    assert jobs.state(job) == "succeeded"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_planned_retry_is_one_line(workers: Workers, name: str) -> None:
    worker = workers.start()
    job = jobs.defer(sample.flaky, name, 1)
    jobs.wait_for_job(job)
    [line] = worker.logged
    assert f"Job {job.id}: {sample.flaky.name}(name='{name}'" in line
    assert re.search(r"is tried again at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, after .*Retry", line)


def test_a_lost_database_is_two_lines(workers: Workers, network: Proxy, name: str) -> None:
    """One when it is lost and one when it is back, however many threads want something of it.

    Beside these there is a line for a step that has to run again, and one for its transaction if
    its rollback is what finds the connection lost. The step does not wait for the lock of its old
    session, of whose end PostgreSQL knows nothing.
    """
    worker = workers.start("-c", "3")
    job = jobs.begun(tasks.hold_at_first, name)
    network.refuse = True
    network.lose()
    wait_for(lambda: network.refused >= 20)  # attempts of all threads
    network.refuse = False
    wait_for(lambda: "can be reached again, after" in worker.said)
    jobs.let_go(name)
    jobs.wait_for_job(job)
    # SQLAlchemy's pool logs, too, if the connection that it just resets is lost
    lines = [line for line in worker.logged if " [ckanext.files." in line]
    rollbacks = [line for line in lines if "A transaction was not rolled back, its " in line]
    for part in (
        "The worker has lost the database, and tries to reach it again: ",
        f"Job {job.id}: its step runs again, after ",
        "The database can be reached again, after ",
    ):
        assert len([line for line in lines if part in line]) == 1, part
    assert len(lines) == 3 + len(rollbacks)
    assert len(rollbacks) <= 1
