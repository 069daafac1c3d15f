"""What becomes of the jobs of workers that die, stand still or lose their connections."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job, control
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.broken_network import Network
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import (
    S,
    change,
    cut,
    effects_of,
    let_go,
    listener_of,
    locked_by_us,
    rows,
    sessions_of,
    state,
    wait_for_effect,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background")


def begun(name: str) -> Job:
    """Defer a job that holds at the first worker that runs it, and wait until it does."""
    job = tasks.hold_at_first.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun-0")
    return job


def owner(job: Job, one: Worker, other: Worker) -> tuple[Worker, Worker]:
    """Return the worker that runs the job, and the other one."""
    return (one, other) if state(job, "worker_id") == one.id else (other, one)


def test_killed(workers: Workers, unique: Any, record_property: Any) -> None:
    """PostgreSQL tells the others at once: nobody waits until it counts as frozen."""
    one, other = workers.start_two("-c", "2", frozen_after=3600)
    took = []
    for _ in range(3):
        name = unique("job")
        job = begun(name)
        killed, rescuer = owner(job, one, other)
        killed.kill()
        start = time.monotonic()
        wait_for_effect(f"{name}-begun-1")
        took.append(time.monotonic() - start)
        wait_for_job(job)
        assert effects_of(f"{name}-ended") == [f"{name}-ended"]
        assert state(job, "rescues") == 1
        assert "Rescued 1 jobs of worker" in rescuer.said
        killed.start()
    record_property("seconds_to_rescue", took)


def test_all_workers_are_killed(workers: Workers, unique: Any) -> None:
    """A worker that starts rescues what those before it have left."""
    name = unique("job")
    worker = workers.start("-c", "2", frozen_after=3600)
    job = begun(name)
    worker.kill()
    assert state(job) == "doing"
    worker.start()
    wait_for_job(job)


def test_frozen(workers: Workers, unique: Any) -> None:
    """It is taken for dead when it has given no sign of life for long enough, and not before."""
    name = unique("job")
    one, other = workers.start_two("-c", "2", frozen_after=3)
    job = begun(name)
    frozen, rescuer = owner(job, one, other)
    frozen.freeze()
    sign_of_life = f"SELECT last_heartbeat FROM {S}.procrastinate_workers WHERE id = :id"
    last = look(sign_of_life, id=frozen.id)
    wait_for_job(job)
    assert look("SELECT now()") - last > dt.timedelta(seconds=3)
    assert "Rescued 1 jobs of worker" in rescuer.said
    wait_for(lambda: not sessions_of(frozen.id))  # PostgreSQL ends them in its own time
    frozen.wake()
    wait_for(lambda: "lost the database" in frozen.said)
    # what it was about to commit is lost, and it works on
    let_go(name)
    wait_for(lambda: "its step runs again" in frozen.said)
    rescuer.stop()
    again = sample.write.delay(f"{name}-again")
    model.Session.commit()
    wait_for_job(again)
    assert frozen.running
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]
    assert effects_of(f"{name}-in-vain") == []
    assert state(job, "attempts") == 2


def test_kills_its_worker_each_time(workers: Workers, unique: Any) -> None:
    name = unique("job")
    killer = tasks.kill_the_worker.configure(lock=name).delay(name)
    others = sample.count_down.batch_defer(
        *({"name": f"{name}-{number}", "total": 4, "remaining": 4} for number in range(20))
    )
    after = sample.write.configure(lock=name).delay(f"{name}-after")
    model.Session.commit()
    worker = workers.prepare("-c", "2", most_rescues=3)
    for _ in range(3):
        worker.launch()
        assert worker.wait() == -9
    worker.start()
    wait_for_job(killer, "failed")
    assert state(killer, "error") == "The worker was lost 3 times while it ran this step"
    for job in [*others, after]:
        wait_for_job(job)
    assert effects_of(name) == sorted(
        [f"{name}-after", *(f"{name}-{number}-{left}" for number in range(20) for left in range(5))]
    )


def test_row_of_the_worker_is_deleted(workers: Workers, unique: Any) -> None:
    """It ends with a message, and its jobs go on elsewhere."""
    name = unique("job")
    one, other = workers.start_two(shutdown_timeout=0)
    job = begun(name)
    forgotten, _ = owner(job, one, other)
    change(f"DELETE FROM {S}.procrastinate_workers WHERE id = :id", id=forgotten.id)
    assert forgotten.wait() == 1
    assert "was away for so long that the others forgot it" in forgotten.said
    wait_for_job(job)
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]


@pytest.mark.usefixtures("seldom_looking")
def test_connections_are_cut_while_it_waits(workers: Workers, unique: Any) -> None:
    """It works on, and also hears of jobs again, or looks for those that it has not heard of."""
    worker = workers.start("-c", "4")
    for _ in range(5):
        cut(sessions_of(worker.id))
        name = unique("job")
        jobs = sample.write.batch_defer(*({"name": f"{name}-{n}"} for n in range(8)))
        model.Session.commit()
        for job in jobs:
            wait_for_job(job)
        assert len(effects_of(name)) == 8
        again = sample.write.delay(f"{name}-again")
        model.Session.commit()
        wait_for_job(again)
    assert worker.running
    assert len(worker.ids) == 1


def test_connections_are_cut_while_it_works(workers: Workers, unique: Any) -> None:
    name = unique("job")
    worker = workers.start("-c", "4")
    jobs = tasks.steps.batch_defer(
        *({"name": f"{name}-{n}", "number": 1, "of": 20, "seconds": 0.05} for n in range(12))
    )
    model.Session.commit()
    for step in range(5):
        wait_for_effect(f"{name}-{step}-0002")
        cut(sessions_of(worker.id))
    for job in jobs:
        wait_for_job(job)
    assert effects_of(name) == [
        f"{name}-{n}-{s:04}" for n in sorted(map(str, range(12))) for s in range(1, 21)
    ]
    assert worker.running


@pytest.mark.parametrize("fails", [False, True])
def test_a_lost_connection_that_the_task_hides(fails: bool, workers: Workers, unique: Any) -> None:
    """The connection is to blame, and not the task: it runs again."""
    name = unique("job")
    worker = workers.start()
    job = tasks.lose_the_connection.delay(name, fails)
    model.Session.commit()
    wait_for_job(job)
    assert "its step runs again" in worker.said
    assert state(job, "attempts") == 2
    assert effects_of(name) == [name]


def test_connection_is_cut_at_the_end_of_a_step(workers: Workers, unique: Any) -> None:
    """While the worker writes where the job goes on."""
    name = unique("job")
    worker = workers.start()
    job = tasks.hold.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    with locked_by_us(job):
        let_go(name)
        # other databases of this server may have tests of their own at the moment
        waiting = (
            "SELECT pid FROM pg_stat_activity"
            " WHERE wait_event = 'transactionid' AND datname = current_database()"
        )
        ((pid,),) = wait_for(lambda: rows(waiting))
        cut([pid])
    wait_for_job(job)
    assert "its step runs again" in worker.said
    assert len(effects_of(f"{name}-begun")) == 2
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_network_fails_and_postgresql_does_not_notice(
    workers: Workers, network: Network, unique: Any
) -> None:
    """The worker ends its old sessions, of which one says that it lives, and works on."""
    name = unique("job")
    worker = workers.start("-c", "2")
    for number in range(3):
        job = sample.write.delay(f"{name}-{number}")
        model.Session.commit()
        wait_for_job(job)
        before = set(sessions_of(worker.id))
        network.fail()
        wait_for(lambda before=before: listener_of(worker.id) not in (None, *before))
    assert worker.running
    assert len(worker.ids) == 1


def test_network_fails_in_a_step(workers: Workers, network: Network, unique: Any) -> None:
    """The step runs again, and does not wait for the locks that it had before."""
    name = unique("job")
    worker = workers.start("-c", "1")
    job = tasks.hold_a_lock.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-locked-")
    network.fail(int(effects_of(f"{name}-locked-")[0].rpartition("-")[2]))
    let_go(name)
    wait_for_job(job)
    assert "its step runs again" in worker.said
    assert len(effects_of(f"{name}-locked-")) == 2


def test_job_that_somebody_has_locked(workers: Workers, unique: Any) -> None:
    """The worker looks after its other jobs, and writes the end as soon as it can."""
    name = unique("job")
    worker = workers.start("-c", "2")
    job = tasks.hold_and_fail.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    with locked_by_us(job):
        let_go(name)
        wait_for(lambda: "cannot be written yet" in worker.said)
        for number in range(3):
            other = sample.write.delay(f"{name}-{number}")
            model.Session.commit()
            wait_for_job(other)
        sign_of_life = f"SELECT last_heartbeat FROM {S}.procrastinate_workers WHERE id = :id"
        before = look(sign_of_life, id=worker.id)
        wait_for(lambda: look(sign_of_life, id=worker.id) > before)
        assert state(job) == "doing"
    wait_for_job(job, "failed")
    assert state(job, "error") == "ValueError: wrong"


def test_dead_worker_with_a_job_that_somebody_has_locked(workers: Workers, unique: Any) -> None:
    """Its other jobs are rescued, and that one as soon as it is free."""
    names = [unique("job"), unique("job")]
    dead = workers.start("-c", "2")
    locked, free = [begun(name) for name in names]
    other = workers.start("-c", "2")
    with locked_by_us(locked):
        dead.kill()
        wait_for_job(free)
        assert state(locked, "worker_id") == dead.id
    wait_for_job(locked)
    assert other.running


def test_errors_that_nobody_can_print(workers: Workers, unique: Any) -> None:
    """The job fails, and not one worker after the other."""
    worker = workers.start("-c", "1")
    for task in (tasks.fail_oddly, tasks.fail_with_a_tiny_progress):
        job = task.delay(unique("job"))
        model.Session.commit()
        wait_for_job(job, "failed")
    assert worker.running


def test_notifications_of_others(workers: Workers, unique: Any) -> None:
    """Anybody may notify, such as another Procrastinate in the same database."""
    name = unique("job")
    worker = workers.start("-c", "2")
    job = tasks.until_aborted.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    for payload in ("hello", "[]", "{}", f'{{"type": "abort_job_requested", "job_id": {job.id}}}'):
        change("SELECT pg_notify('procrastinate_any_queue_v1', :payload)", payload=payload)
    later = sample.write.delay(name)
    model.Session.commit()
    wait_for_job(later)
    assert worker.running
    assert state(job) == "doing"
    control.cancel(job.id)
    model.Session.commit()
    wait_for_job(job, "aborted")


def test_abort_while_the_worker_does_not_listen(workers: Workers, unique: Any) -> None:
    name = unique("job")
    worker = workers.start()
    job = tasks.until_aborted.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    listener = wait_for(lambda: listener_of(worker.id))
    control.cancel(job.id)
    cut([listener])
    model.Session.commit()
    wait_for_job(job, "aborted")


def test_abort_of_a_job_whose_worker_has_died(workers: Workers, unique: Any) -> None:
    name = unique("job")
    worker = workers.start()
    job = tasks.until_aborted.delay(name)
    model.Session.commit()
    wait_for_effect(f"{name}-begun")
    worker.kill()
    assert control.cancel(job.id) == "doing"
    model.Session.commit()
    worker.start()
    wait_for_job(job, "aborted")
    assert effects_of(f"{name}-never") == []


def test_worker_that_cannot_work(commands: Workers, unique: Any) -> None:
    """It ends rather than to look busy: whoever looks after it notices, and starts another one."""
    name = unique("job")
    worker = commands.start()
    claim = f"FUNCTION {S}.files_claim(varchar[], bigint, boolean)"
    change(f"ALTER {claim} RENAME TO files_test_claim")
    try:
        job = sample.write.delay(name)
        model.Session.commit()
        assert worker.wait() == 1
    finally:
        change(f"ALTER {claim.replace('files_claim', 'files_test_claim')} RENAME TO files_claim")
    assert "A thread of the worker has failed" in worker.said
    assert "files_claim(" in worker.said
    assert state(job) == "todo"
    worker.start()
    wait_for_job(job)
