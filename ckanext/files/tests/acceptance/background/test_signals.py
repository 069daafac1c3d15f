"""Ending workers: by signals, by themselves, one and several processes; and what they log."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from ckan import model

from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, look, rows
from ckanext.files.tests.support.jobs import (
    S,
    begun,
    cancel,
    cut,
    defer,
    effects_of,
    events_of,
    last_heartbeat,
    let_go,
    sessions_of,
    state,
    wait_for_effect,
    wait_for_heartbeats,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


def logged(worker: Worker) -> list[str]:
    """Return the lines that a worker has written after those of its start."""
    _, _, later = worker.said.partition(" knows: ")
    return later.splitlines()[1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_running_step_ends(number: int, workers: Workers, name: str) -> None:
    """What waits is left to others."""
    # killed workers of other tests have left their rows
    earlier = look(f"SELECT coalesce(max(id), 0) FROM {S}.procrastinate_workers")
    worker = workers.start()
    running = begun(tasks.hold, f"{name}-1")
    waiting = defer(tasks.hold, f"{name}-2")
    os.kill(worker.pid, number)
    wait_for(lambda: "stops" in worker.said)
    wait_for_heartbeats(worker.id)
    assert worker.running
    let_go(f"{name}-1")
    assert worker.wait() == 0
    assert state(running) == "succeeded"
    assert state(waiting) == "todo"
    assert len(effects_of(name)) == 2
    left = f"SELECT count(*) FROM {S}.procrastinate_workers WHERE id > :earlier"
    assert look(left, earlier=earlier) == 0


def test_what_it_waits_for_when_it_stops(workers: Workers, name: str) -> None:
    names = [f"{name}-1", f"{name}-2"]
    worker = workers.start("-c", "3", shutdown_timeout=20)
    jobs = [begun(tasks.hold, each) for each in names]
    worker.terminate()
    wait_for(lambda: "stops" in worker.said)
    for each in names:
        let_go(each)
    assert worker.wait() == 0
    [line] = logged(worker)
    assert f"Worker {worker.id} stops: waits up to 20 seconds for job " in line
    for job in jobs:
        assert f"job {job.id} ({tasks.hold.name})" in line


@pytest.mark.usefixtures("only_notified")
def test_signal_while_it_waits(workers: Workers) -> None:
    worker = workers.start("-c", "4")
    assert worker.stop() == 0
    [line] = logged(worker)
    assert line.endswith(f"Worker {worker.id} stops: no step runs")


def test_a_job_that_goes_on_is_handed_back(workers: Workers, name: str) -> None:
    jobs = [defer(tasks.steps, f"{name}-{n}", 1, 40, 0.05) for n in range(4)]
    one, other = workers.prepare("-c", "4"), workers.prepare("-c", "4")
    one.start()
    wait_for_effect(f"{name}-3-0002")
    assert one.stop() == 0
    for job in jobs:
        assert state(job) == "doing"
        assert state(job, "worker_id") is None
    other.start()
    wait_for_job(*jobs)
    for job in jobs:
        assert state(job, "attempts") == 1  # no worker had to take it away
    assert effects_of(name) == [f"{name}-{n}-{s:04}" for n in range(4) for s in range(1, 41)]


def test_a_step_that_takes_longer_than_a_frozen_worker_gets(workers: Workers, name: str) -> None:
    """The worker gives signs of life while it waits for the end of its steps."""
    ending = workers.start(shutdown_timeout=600)
    job = defer(tasks.hold_at_first, name)
    wait_for_effect(f"{name}-begun-0")
    ending.terminate()
    wait_for(lambda: "stops" in ending.said)
    workers.start(frozen_after=3)
    stopped = last_heartbeat(ending.id)
    wait_for(lambda: (last_heartbeat(ending.id) - stopped).total_seconds() > 4)
    let_go(name)
    assert ending.wait() == 0
    assert state(job) == "succeeded"
    assert state(job, "attempts") == 1
    assert effects_of(f"{name}-begun-") == [f"{name}-begun-0"]


def test_a_step_that_takes_too_long_is_handed_back(workers: Workers, name: str) -> None:
    job = defer(tasks.hold, name)
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    start = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - start >= 1
    assert f"Job {job.id} is handed back" in worker.said
    # nothing of it has happened
    assert state(job) == "todo"
    assert state(job, "worker_id") is None
    assert state(job, "attempts") == 0
    assert events_of(job) == ["deferred"]
    let_go(name)
    worker.start()
    wait_for_job(job)
    assert state(job, "coalesce(rescues, 0)") == 0  # its own step is not to blame
    assert state(job, "attempts") == 1
    assert events_of(job) == ["deferred", "started", "succeeded"]
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_a_later_step_that_takes_too_long_is_handed_back(workers: Workers, name: str) -> None:
    """The job has begun, which its history tells; the step has not."""
    job = defer(tasks.steps_with_a_hold, name, 1, 2, [2])
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-0002")
    assert worker.stop() == 0
    assert (state(job, "step"), state(job, "attempts")) == (1, 0)
    assert events_of(job) == ["deferred", "started"]
    change("DELETE FROM files_test_effect WHERE name = :name", name=f"{name}-0002")
    let_go(f"{name}-0002")
    worker.start()
    wait_for_job(job)
    assert events_of(job) == ["deferred", "started", "succeeded"]


def test_what_a_step_has_asked_for_is_handed_back_with_it(workers: Workers, name: str) -> None:
    """The step runs again, and asks again: nothing is lost, and the log does not say so."""
    defer(tasks.ask_and_hold, name)
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    assert worker.stop() == 0
    assert "is handed back" in worker.said
    assert "ERROR" not in worker.said


def test_a_queueing_lock_that_is_just_asked_for(workers: Workers, name: str) -> None:
    """The worker does not wait for that commit, and other workers do not, either."""
    job = defer(tasks.hold.configure(queueing_lock=name), name)
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    sample.noop.configure(queueing_lock=name, queue="other").delay()
    worker.terminate()
    wait_for(lambda: not worker.running, 20)
    assert state(job, "worker_id") is None
    let_go(name)
    worker.start()
    wait_for_job(job)
    model.Session.rollback()


def test_the_database_cannot_be_reached(workers: Workers, network: Proxy, name: str) -> None:
    """The worker ends in time, without an error, and says so; others take its jobs."""
    job = defer(tasks.hold_at_first, name)
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    network.refuse = True
    network.lose()
    assert worker.stop() == 0
    assert worker.said.count("The end of the worker cannot be written") == 1
    network.refuse = False
    cut(sessions_of(worker.id))  # as TCP does sooner or later
    workers.start()
    wait_for_job(job)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_no_wait(processes: str, workers: Workers, name: str) -> None:
    """It ends when nothing waits any more, also when what runs asks for more."""
    jobs = [defer(tasks.steps, f"{name}-{n}", 1, 5, 0.05) for n in range(10)]
    later = defer(sample.write.configure(countdown=3600), f"{name}-later")
    worker = workers.prepare("-c", "4", "--no-wait", "--processes", processes)
    worker.launch()
    assert worker.wait() == 0
    assert {state(job) for job in jobs} == {"succeeded"}
    assert state(later) == "todo"
    assert len(effects_of(name)) == 50


def test_processes(commands: Workers, name: str) -> None:
    """All work; one that was killed is replaced; a signal to their parent ends them all.

    With CKAN's own command. Other tests have forks as workers, except at full size in test_kills.
    """
    worker = commands.prepare("-c", "2", "--processes", "2")
    worker.start(workers=2)
    assert len(worker.children) == 2
    jobs = [defer(tasks.hold_at_first, f"{name}-{n}") for n in range(4)]
    for n in range(4):
        wait_for_effect(f"{name}-{n}-begun-0")
    owners = {state(job, "worker_id") for job in jobs}
    assert owners == set(worker.ids)

    killed = worker.children[0]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(worker.ids) == 3)
    assert len(worker.children) == 2
    assert killed not in worker.children
    wait_for(lambda: [state(job) for job in jobs].count("succeeded") == 2)

    for pid in worker.children:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(worker.ids) == 5)
    wait_for_job(*jobs)
    assert len(effects_of(f"{name}-")) == 12

    children = worker.children
    assert worker.stop() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    left = f"SELECT id FROM {S}.procrastinate_workers WHERE id = ANY (:ids)"
    assert rows(left, ids=worker.ids[-2:]) == []


@pytest.fixture
def pair(workers: Workers) -> Worker:
    """Two processes, and their parent."""
    worker = workers.prepare("--processes", "2")
    worker.start(workers=2)
    return worker


def test_signal_to_the_group(pair: Worker, name: str) -> None:
    """Ctrl-C in a terminal, and systemd, tell the children too."""
    jobs = [begun(tasks.hold, f"{name}-{n}") for n in range(2)]
    for pid in [*pair.children, pair.pid]:
        os.kill(pid, signal.SIGINT)
    for n in range(2):
        let_go(f"{name}-{n}")
    assert pair.wait() == 0
    assert [state(job) for job in jobs] == ["succeeded", "succeeded"]


def test_signal_while_a_worker_is_replaced(pair: Worker) -> None:
    os.kill(pair.children[0], signal.SIGKILL)
    wait_for(lambda: "has ended with status 9" in pair.said)
    assert pair.stop() == 0
    assert len(pair.ids) == 2


def test_parent_is_killed(pair: Worker, name: str) -> None:
    """Workers end when the process is gone that looks after them."""
    job = begun(tasks.hold, name)
    children = pair.children
    pair.kill()
    wait_for(lambda: pair.said.count("looks after this worker is gone") == 2)
    let_go(name)
    wait_for(lambda: not [pid for pid in children if _runs(pid)])
    assert state(job) == "succeeded"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_planned_retry_is_one_line(workers: Workers, name: str) -> None:
    worker = workers.start()
    job = defer(sample.flaky, name, 1)
    wait_for_job(job)
    [line] = logged(worker)
    assert f"Job {job.id}: {sample.flaky.name}(name='{name}'" in line
    assert re.search(r"is tried again at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, after .*Retry", line)


def test_a_job_that_ends_itself_is_one_line(workers: Workers, name: str) -> None:
    """As it was told to: that is no failure."""
    worker = workers.start()
    job = begun(tasks.until_aborted, name)
    cancel(job)
    wait_for_job(job, status="aborted")
    [line] = logged(worker)
    assert f"Job {job.id}: {tasks.until_aborted.name}(name='{name}') is aborted, after " in line


def test_a_lost_database_is_two_lines(workers: Workers, network: Proxy, name: str) -> None:
    """One when it is lost and one when it is back, however many threads want something of it.

    Beside these there is a line for a step that has to run again, and one for its transaction.
    """
    worker = workers.start("-c", "3")
    job = defer(tasks.hold_a_lock, name)
    wait_for_effect(f"{name}-locked-")
    network.refuse = True
    network.lose()
    wait_for(lambda: network.refused >= 20)  # attempts of all threads
    network.refuse = False
    wait_for(lambda: "can be reached again, after" in worker.said)
    let_go(name)
    wait_for_job(job)
    # SQLAlchemy's pool logs, too, if the connection that it just resets is lost
    lines = [line for line in logged(worker) if " [ckanext.files." in line]
    for part in (
        "The worker has lost the database, and tries to reach it again: ",
        "A transaction was not rolled back, its connection is dropped: ",
        f"Job {job.id}: its step runs again, after ",
        "The database can be reached again, after ",
    ):
        assert len([line for line in lines if part in line]) == 1, part
    assert len(lines) == 4
