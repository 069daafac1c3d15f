"""What becomes of the jobs of workers that die, stand still or lose their connections."""

from __future__ import annotations

import datetime as dt

import pytest
from ckan import model

from ckanext.files.background import Job
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, look, rows
from ckanext.files.tests.support.jobs import (
    S,
    begun,
    cut,
    defer,
    effects_of,
    last_heartbeat,
    let_go,
    listener_of,
    locked_by_us,
    sessions_of,
    state,
    wait_for_effect,
    wait_for_heartbeats,
    wait_for_job,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.solr import solr_through_proxy, title_in_solr
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background")

RESCUED = "Rescued 1 jobs of worker"
AGAIN = "its step runs again"


def held(name: str) -> Job:
    """Let a worker begin a job that holds only there."""
    return begun(tasks.hold_at_first, name)


def owner(job: Job, one: Worker, other: Worker) -> tuple[Worker, Worker]:
    """Return the worker that runs the job, and the other one."""
    return (one, other) if state(job, "worker_id") == one.id else (other, one)


def test_killed(workers: Workers, name: str) -> None:
    """PostgreSQL tells the others at once: they do not wait until it counts as frozen."""
    one, other = workers.start_two("-c", "2", frozen_after=3600)
    for each in (f"{name}-1", f"{name}-2"):
        job = held(each)
        killed, rescuer = owner(job, one, other)
        killed.kill()
        wait_for_job(job)
        assert effects_of(f"{each}-ended") == [f"{each}-ended"]
        assert state(job, "rescues") == 1
        assert RESCUED in rescuer.said
        killed.start()


def test_all_workers_are_killed(workers: Workers, name: str) -> None:
    """A worker that starts rescues what those before it have left."""
    worker = workers.start("-c", "2", frozen_after=3600)
    job = held(name)
    worker.kill()
    assert state(job) == "doing"
    worker.start()
    wait_for_job(job)


def test_frozen(workers: Workers, name: str) -> None:
    """It is taken for dead when it has given no sign of life for long enough, and not before."""
    frozen = workers.start("-c", "2")
    job = held(name)
    frozen.freeze()
    last = last_heartbeat(frozen.id)
    rescuer = workers.start("-c", "2", frozen_after=3)
    wait_for_job(job)
    assert look("SELECT now()") - last > dt.timedelta(seconds=3)
    assert RESCUED in rescuer.said
    wait_for(lambda: not sessions_of(frozen.id))  # PostgreSQL ends them in its own time
    frozen.wake()
    wait_for(lambda: "lost the database" in frozen.said)
    # what it was about to commit is lost, and it works on
    let_go(name)
    wait_for(lambda: AGAIN in frozen.said)
    rescuer.stop()
    wait_for_job(defer(sample.write, f"{name}-again"))
    assert frozen.running
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]
    assert effects_of(f"{name}-in-vain") == []
    assert state(job, "attempts") == 2


def test_kills_its_worker_each_time(workers: Workers, name: str) -> None:
    killer = tasks.kill_the_worker.configure(lock=name).delay(name)
    others = [sample.count_down.delay(f"{name}-{n}", 4, 4) for n in range(20)]
    after = defer(sample.write.configure(lock=name), f"{name}-after")
    worker = workers.prepare("-c", "2", most_rescues=3)
    for _ in range(3):
        worker.launch()
        assert worker.wait() == -9
    worker.start()
    wait_for_job(killer, status="failed")
    assert state(killer, "error") == "The worker was lost 3 times while it ran this step"
    wait_for_job(*others, after)
    counted = [f"{name}-{number}-{left}" for number in range(20) for left in range(5)]
    assert effects_of(name) == sorted([f"{name}-after", *counted])


def test_row_of_the_worker_is_deleted(workers: Workers, name: str) -> None:
    """It ends with a message, and its jobs go on elsewhere."""
    one, other = workers.start_two(shutdown_timeout=0)
    job = held(name)
    forgotten, _ = owner(job, one, other)
    change(f"DELETE FROM {S}.procrastinate_workers WHERE id = :id", id=forgotten.id)
    assert forgotten.wait() == 1
    assert "was away for so long that the others forgot it" in forgotten.said
    wait_for_job(job)
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_worker_that_cannot_work(workers: Workers, name: str) -> None:
    """It ends rather than to look busy, so that its supervisor starts another one."""
    worker = workers.start()
    claim = f"FUNCTION {S}.files_claim(varchar[], bigint, boolean)"
    change(f"ALTER {claim} RENAME TO files_test_claim")
    try:
        job = defer(sample.write, name)
        assert worker.wait() == 1
    finally:
        change(f"ALTER {claim.replace('files_claim', 'files_test_claim')} RENAME TO files_claim")
    assert "A thread of the worker has failed" in worker.said
    assert "files_claim(" in worker.said
    assert state(job) == "todo"
    worker.start()
    wait_for_job(job)


@pytest.mark.usefixtures("only_notified")
def test_connections_are_cut_while_it_waits(workers: Workers, name: str) -> None:
    """It works on, and also hears of jobs again, or looks for those that it has not heard of."""
    worker = workers.start("-c", "4")
    for number in range(5):
        cut(sessions_of(worker.id))
        jobs = sample.write.batch_defer(*({"name": f"{name}-{number}-{n}"} for n in range(8)))
        model.Session.commit()
        wait_for_job(*jobs)
        wait_for_job(defer(sample.write, f"{name}-{number}-again"))
    assert len(effects_of(name)) == 45
    assert worker.running
    assert len(worker.ids) == 1


def test_connections_are_cut_while_it_works(workers: Workers, name: str) -> None:
    worker = workers.start("-c", "4")
    jobs = [defer(tasks.steps, f"{name}-{n}", 1, 20, 0.05) for n in range(12)]
    for number in range(5):
        wait_for_effect(f"{name}-{number}-0002")
        cut(sessions_of(worker.id))
    wait_for_job(*jobs)
    done = [f"{name}-{number}-{step:04}" for number in range(12) for step in range(1, 21)]
    assert effects_of(name) == sorted(done)
    assert worker.running


@pytest.mark.parametrize("fails", [False, True])
def test_a_lost_connection_that_the_task_hides(fails: bool, workers: Workers, name: str) -> None:
    """The connection is to blame, and not the task: it runs again."""
    worker = workers.start()
    job = defer(tasks.lose_the_connection, name, fails)
    wait_for_job(job)
    assert AGAIN in worker.said
    assert state(job, "attempts") == 2
    assert effects_of(name) == [name]


def test_connection_is_cut_at_the_end_of_a_step(workers: Workers, name: str) -> None:
    """While the worker writes where the job goes on."""
    worker = workers.start()
    job = begun(tasks.hold, name)
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
    assert AGAIN in worker.said
    assert len(effects_of(f"{name}-begun")) == 2
    assert effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_network_fails_and_postgresql_does_not_notice(
    workers: Workers, network: Proxy, name: str
) -> None:
    """The worker ends its old sessions, of which one says that it lives, and works on."""
    worker = workers.start("-c", "2")
    for number in range(3):
        wait_for_job(defer(sample.write, f"{name}-{number}"))
        before = set(sessions_of(worker.id))
        network.lose()
        wait_for(lambda before=before: listener_of(worker.id) not in (None, *before))
    assert worker.running
    assert len(worker.ids) == 1


def test_network_fails_in_a_step(workers: Workers, network: Proxy, name: str) -> None:
    """The step runs again, and does not wait for the locks that it had before."""
    worker = workers.start("-c", "1")
    job = defer(tasks.hold_a_lock, name)
    wait_for_effect(f"{name}-locked-")
    network.lose(int(effects_of(f"{name}-locked-")[0].rpartition("-")[2]))
    let_go(name)
    wait_for_job(job)
    assert AGAIN in worker.said
    assert len(effects_of(f"{name}-locked-")) == 2


def test_job_that_is_locked(workers: Workers, name: str) -> None:
    """The worker looks after its other jobs, and writes the end as soon as it can."""
    worker = workers.start("-c", "2")
    job = begun(tasks.hold_and_fail, name)
    with locked_by_us(job):
        let_go(name)
        wait_for(lambda: "cannot be written yet" in worker.said)
        for number in range(3):
            wait_for_job(defer(sample.write, f"{name}-{number}"))
        wait_for_heartbeats(worker.id)
        assert state(job) == "doing"
    wait_for_job(job, status="failed")
    assert state(job, "error") == "ValueError: wrong"


def test_dead_worker_with_a_job_that_is_locked(workers: Workers, name: str) -> None:
    """Its other jobs are rescued, and that one as soon as it is free."""
    dead = workers.start("-c", "2")
    locked, free = held(f"{name}-locked"), held(f"{name}-free")
    other = workers.start("-c", "2")
    with locked_by_us(locked):
        dead.kill()
        wait_for_job(free)
        assert state(locked, "worker_id") == dead.id
    wait_for_job(locked)
    assert other.running


def test_jobs_wait_until_solr_is_back(workers: Workers, name: str) -> None:
    """All of them run then; meanwhile the worker runs what needs no Solr."""
    user = new_user(sysadmin=True)
    made = [call("package_create", user, name=f"{name}-{n}") for n in range(2)]
    datasets = [dataset["id"] for dataset in made]
    with solr_through_proxy() as solr:
        worker = workers.start("-c", "2", "-q", "indexing")
        solr.refuse = True
        task = sample.write_and_patch.configure(queue="indexing")
        jobs = [defer(task, f"{name}-{n}", dataset, "after") for n, dataset in enumerate(datasets)]
        for job in jobs:
            wait_for(lambda job=job: (state(job, "f.outages") or 0) >= 2)
            assert state(job) in ("todo", "doing")
            assert "Solr cannot be reached, pause" in state(job, "f.error")
        wait_for_job(defer(sample.write.configure(queue="indexing"), f"{name}-other"))
        assert effects_of(name) == [f"{name}-other"]
        solr.refuse = False
        wait_for_job(*jobs)
        for job in jobs:
            assert state(job, "f.retries") == 0
        assert worker.stop() == 0
    assert len(effects_of(name)) == 3
    assert {title_in_solr(dataset) for dataset in datasets} == {"after"}
