"""Ending workers: by signals, by themselves, one and several processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.broken_network import Network
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import (
    S,
    change,
    cut,
    effects_of,
    events_of,
    let_go,
    rows,
    sessions_of,
    state,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_running_step_ends(number: int, commands: Workers, unique: Any) -> None:
    """What waits is left to others."""
    name = unique("job")
    running = tasks.hold.delay(f"{name}-1")
    waiting = tasks.hold.delay(f"{name}-2")
    model.Session.commit()
    # killed workers of other tests have left their rows
    earlier = look(f"SELECT coalesce(max(id), 0) FROM {S}.procrastinate_workers")
    worker = commands.start()
    wait_for_effect(f"{name}-1-begun")
    os.kill(worker.pid, number)
    time.sleep(1)
    assert worker.running
    let_go(f"{name}-1")
    assert worker.wait() == 0
    assert state(running) == "succeeded"
    assert state(waiting) == "todo"
    assert len(effects_of(name)) == 2
    left = f"SELECT count(*) FROM {S}.procrastinate_workers WHERE id > :earlier"
    assert look(left, earlier=earlier) == 0


def test_a_job_that_goes_on_is_handed_back(workers: Workers, unique: Any) -> None:
    name = unique("job")
    jobs = tasks.steps.batch_defer(
        *({"name": f"{name}-{n}", "number": 1, "of": 100, "seconds": 0.05} for n in range(4))
    )
    model.Session.commit()
    one, other = workers.prepare("-c", "4"), workers.prepare("-c", "4")
    one.start()
    wait_for_effect(f"{name}-3-0002")
    assert one.stop() == 0
    for job in jobs:
        assert state(job) == "doing"
        assert state(job, "worker_id") is None
    other.start()
    for job in jobs:
        wait_for_job(job)
        assert state(job, "attempts") == 1  # nobody had to take it away
    assert effects_of(name) == [f"{name}-{n}-{s:04}" for n in range(4) for s in range(1, 101)]


def test_a_step_that_takes_longer_than_a_frozen_worker_gets(workers: Workers, unique: Any) -> None:
    """The worker gives signs of life while it waits for the end of its steps."""
    name = unique("job")
    patience: Any = {"shutdown_timeout": 600, "frozen_after": 3}
    ending = workers.start(**patience)
    job = tasks.hold_at_first.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun-0")
    workers.start(**patience)
    beat = (
        f"SELECT extract(epoch FROM last_heartbeat) FROM {S}.procrastinate_workers WHERE id = :id"
    )
    told = look(beat, id=ending.id)
    ending.terminate()
    wait_for(lambda: look(beat, id=ending.id) > told + 6)
    let_go(name)
    assert ending.wait() == 0
    assert state(job) == "succeeded"
    assert state(job, "attempts") == 1
    assert effects_of(f"{name}-begun-") == [f"{name}-begun-0"]


def test_a_step_that_takes_too_long_is_handed_back(workers: Workers, unique: Any) -> None:
    name = unique("job")
    job = tasks.hold.delay(name)
    model.Session.commit()
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


def test_a_later_step_that_takes_too_long_is_handed_back(workers: Workers, unique: Any) -> None:
    """The job has begun, which its history tells; the step has not."""
    name = unique("job")
    job = tasks.steps_with_a_hold.delay(name, 1, 2, [2])
    model.Session.commit()
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


def test_what_a_step_has_asked_for_is_handed_back_with_it(commands: Workers, unique: Any) -> None:
    """The step runs again, and asks again: nothing is lost, and the log does not say so."""
    name = unique("job")
    tasks.ask_and_hold.delay(name)
    model.Session.commit()
    worker = commands.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    assert worker.stop() == 0
    assert "is handed back" in worker.said
    assert "ERROR" not in worker.said


def test_a_queueing_lock_that_is_just_asked_for(workers: Workers, unique: Any) -> None:
    """The worker does not wait for that commit, and other workers do not, either."""
    name = unique("job")
    job = tasks.hold.configure(queueing_lock=name).delay(name)
    model.Session.commit()
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


def test_the_database_cannot_be_reached(workers: Workers, network: Network, unique: Any) -> None:
    """The worker ends in time, without an error, and says so; others take its jobs."""
    name = unique("job")
    job = tasks.hold_at_first.delay(name)
    model.Session.commit()
    worker = workers.start(shutdown_timeout=1)
    wait_for_effect(f"{name}-begun")
    network.is_down = True
    network.fail()
    assert worker.stop() == 0
    assert worker.said.count("The end of the worker cannot be written") == 1
    network.is_down = False
    cut(sessions_of(worker.id))  # as TCP does sooner or later
    workers.start()
    wait_for_job(job)


@pytest.mark.usefixtures("seldom_looking")
def test_signal_while_it_waits(workers: Workers) -> None:
    worker = workers.start("-c", "4")
    assert worker.stop() == 0


def test_no_wait(workers: Workers, unique: Any) -> None:
    """It ends when nothing waits any more, also when what runs asks for more."""
    name = unique("job")
    jobs = tasks.steps.batch_defer(
        *({"name": f"{name}-{n}", "number": 1, "of": 5, "seconds": 0.05} for n in range(10))
    )
    later = sample.write.configure(countdown=3600).delay(f"{name}-later")
    model.Session.commit()
    worker = workers.start("-c", "4", "--no-wait")
    assert worker.wait() == 0
    assert {state(job) for job in jobs} == {"succeeded"}
    assert state(later) == "todo"
    assert len(effects_of(name)) == 50


def test_no_wait_with_processes(workers: Workers, unique: Any) -> None:
    name = unique("job")
    sample.write.batch_defer(*({"name": f"{name}-{n}"} for n in range(50)))
    model.Session.commit()
    worker = workers.prepare("-c", "2", "--no-wait", "--processes", "2")
    worker.launch()
    assert worker.wait() == 0
    assert len(effects_of(name)) == 50


def test_processes(commands: Workers, unique: Any) -> None:
    """All work; one that was killed is replaced; a signal to their parent ends them all."""
    name = unique("job")
    worker = commands.prepare("-c", "2", "--processes", "2")
    worker.start(workers=2)
    assert len(worker.children) == 2
    jobs = [tasks.hold_at_first.delay(f"{name}-{n}") for n in range(4)]
    model.Session.commit()
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
    for job in jobs:
        wait_for_job(job)
    assert len(effects_of(f"{name}-")) == 12

    children = worker.children
    assert worker.stop() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert (
        rows(f"SELECT id FROM {S}.procrastinate_workers WHERE id = ANY (:ids)", ids=worker.ids[-2:])
        == []
    )


def test_signal_to_the_group(commands: Workers, unique: Any) -> None:
    """Ctrl-C in a terminal, and systemd, tell the children too."""
    name = unique("job")
    jobs = [tasks.hold.delay(f"{name}-{n}") for n in range(2)]
    model.Session.commit()
    worker = commands.prepare("--processes", "2")
    worker.start(workers=2)
    for n in range(2):
        wait_for_effect(f"{name}-{n}-begun")
    for pid in [*worker.children, worker.pid]:
        os.kill(pid, signal.SIGINT)
    for n in range(2):
        let_go(f"{name}-{n}")
    assert worker.wait() == 0
    assert [state(job) for job in jobs] == ["succeeded", "succeeded"]


def test_signal_while_a_worker_is_replaced(commands: Workers) -> None:
    worker = commands.prepare("--processes", "2")
    worker.start(workers=2)
    os.kill(worker.children[0], signal.SIGKILL)
    wait_for(lambda: "has ended with status 9" in worker.said)
    assert worker.stop() == 0
    assert len(worker.ids) == 2


def test_parent_is_killed(commands: Workers, unique: Any) -> None:
    """No worker is left behind that nobody looks after."""
    name = unique("job")
    worker = commands.prepare("--processes", "2")
    worker.start(workers=2)
    job = tasks.hold.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    children = worker.children
    worker.kill()
    wait_for(lambda: worker.said.count("looks after this worker is gone") == 2)
    let_go(name)
    wait_for(lambda: not [pid for pid in children if _runs(pid)])
    assert state(job) == "succeeded"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
