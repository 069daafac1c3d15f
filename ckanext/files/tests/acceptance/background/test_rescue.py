"""What becomes of the jobs of workers that die, stand still or lose their connections."""

from __future__ import annotations

import datetime as dt

import pytest
from ckan import model

from ckanext.files.background import Job
from ckanext.files.tests.support import jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, look, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.solr import solr_through_proxy, title_in_solr
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]

loaded = load_plugins("files", "files_background")

RESCUED = "Rescued 1 jobs of worker"
AGAIN = "its step runs again"


def held(name: str) -> Job:
    """Let a worker begin a job that holds only there."""
    return jobs.begun(tasks.hold_at_first, name)


def test_killed(workers: Workers, name: str) -> None:
    """PostgreSQL tells the others at once: they do not wait until it counts as frozen.

    When all are killed, the next one that starts rescues what they have left.
    """
    one, other = workers.start_two("-c", "2", frozen_after=3600)
    for each in (f"{name}-1", f"{name}-2"):
        job = held(each)
        killed, rescuer = (one, other) if jobs.state(job, "worker_id") == one.id else (other, one)
        killed.kill()
        jobs.wait_for_job(job)
        assert jobs.effects_of(f"{each}-ended") == [f"{each}-ended"]
        assert jobs.state(job, "rescues") == 1
        assert RESCUED in rescuer.said
        killed.start()
    job = held(f"{name}-3")
    for worker in (one, other):
        worker.kill()
    assert jobs.state(job) == "doing"
    one.start()
    jobs.wait_for_job(job)


def test_frozen(workers: Workers, name: str) -> None:
    """It is taken for dead when it has given no sign of life for long enough, and not before."""
    frozen = workers.start("-c", "2")
    job = held(name)
    frozen.freeze()
    last = jobs.last_heartbeat(frozen.id)
    rescuer = workers.start("-c", "2", frozen_after=3)
    jobs.wait_for_job(job)
    assert look("SELECT now()") - last > dt.timedelta(seconds=3)
    assert RESCUED in rescuer.said
    wait_for(lambda: not jobs.sessions_of(frozen.id))  # PostgreSQL ends them in its own time
    frozen.wake()
    wait_for(lambda: "lost the database" in frozen.said)
    # what it was about to commit is lost, and it works on
    jobs.let_go(name)
    wait_for(lambda: AGAIN in frozen.said)
    rescuer.stop()
    jobs.wait_for_job(jobs.defer(sample.write, f"{name}-again"))
    assert frozen.running
    assert jobs.effects_of(f"{name}-ended") == [f"{name}-ended"]
    assert jobs.effects_of(f"{name}-in-vain") == []
    assert jobs.state(job, "attempts") == 2


def test_kills_its_worker_each_time(workers: Workers, name: str) -> None:
    killer = tasks.kill_the_worker.configure(lock=name).delay(name)
    others = [sample.count_down.delay(f"{name}-{n}", 4, 4) for n in range(20)]
    after = jobs.defer(sample.write.configure(lock=name), f"{name}-after")
    worker = workers.prepare("-c", "2", most_rescues=3)
    for _ in range(3):
        worker.launch()
        assert worker.wait() == -9
    worker.start()
    jobs.wait_for_job(killer, status="failed")
    assert jobs.state(killer, "error") == "The worker was lost 3 times while it ran this step"
    jobs.wait_for_job(*others, after)
    counted = [f"{name}-{number}-{left}" for number in range(20) for left in range(5)]
    assert jobs.effects_of(name) == sorted([f"{name}-after", *counted])


def test_row_of_the_worker_is_deleted(workers: Workers, name: str) -> None:
    """It ends with a message, and its jobs go on elsewhere."""
    one, other = workers.start_two(shutdown_timeout=0)
    job = held(name)
    forgotten = one if jobs.state(job, "worker_id") == one.id else other
    change(f"DELETE FROM {jobs.S}.procrastinate_workers WHERE id = :id", id=forgotten.id)
    assert forgotten.wait() == 1
    assert "was away for so long that the others forgot it" in forgotten.said
    jobs.wait_for_job(job)
    assert jobs.effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_worker_that_cannot_work(workers: Workers, name: str) -> None:
    """It ends rather than to look busy, so that its supervisor starts another one."""
    worker = workers.start()
    claim = f"FUNCTION {jobs.S}.files_claim(varchar[], bigint, boolean)"
    change(f"ALTER {claim} RENAME TO files_test_claim")
    try:
        job = jobs.defer(sample.write, name)
        assert worker.wait() == 1
    finally:
        change(f"ALTER {claim.replace('files_claim', 'files_test_claim')} RENAME TO files_claim")
    assert "A thread of the worker has failed" in worker.said
    assert "files_claim(" in worker.said
    assert jobs.state(job) == "todo"
    worker.start()
    jobs.wait_for_job(job)


@pytest.mark.usefixtures("only_notified")
def test_connections_are_cut_while_it_waits(workers: Workers, name: str) -> None:
    """It works on, and also hears of jobs again, or looks for those that it has not heard of."""
    worker = workers.start("-c", "4")
    for number in range(5):
        jobs.cut(jobs.sessions_of(worker.id))
        asked = sample.write.batch_defer(*({"name": f"{name}-{number}-{n}"} for n in range(8)))
        model.Session.commit()
        jobs.wait_for_job(*asked)
        jobs.wait_for_job(jobs.defer(sample.write, f"{name}-{number}-again"))
    assert len(jobs.effects_of(name)) == 45
    assert worker.running
    assert len(worker.ids) == 1


def test_connections_are_cut_while_it_works(workers: Workers, name: str) -> None:
    worker = workers.start("-c", "4")
    asked = [jobs.defer(tasks.steps, f"{name}-{n}", 1, 20, 0.05) for n in range(12)]
    for number in range(5):
        jobs.wait_for_effect(f"{name}-{number}-0002")
        jobs.cut(jobs.sessions_of(worker.id))
    jobs.wait_for_job(*asked)
    done = [f"{name}-{number}-{step:04}" for number in range(12) for step in range(1, 21)]
    assert jobs.effects_of(name) == sorted(done)
    assert worker.running


@pytest.mark.parametrize("fails", [False, True])
def test_a_lost_connection_that_the_task_hides(fails: bool, workers: Workers, name: str) -> None:
    """The connection is to blame, and not the task: it runs again."""
    worker = workers.start()
    job = jobs.defer(tasks.lose_the_connection, name, fails)
    jobs.wait_for_job(job)
    assert AGAIN in worker.said
    assert jobs.state(job, "attempts") == 2
    assert jobs.effects_of(name) == [name]


def test_connection_is_cut_at_the_end_of_a_step(workers: Workers, name: str) -> None:
    """While the worker writes where the job goes on."""
    worker = workers.start()
    job = jobs.begun(tasks.hold, name)
    with jobs.locked_by_us(job):
        jobs.let_go(name)
        # other databases of this server may have tests of their own at the moment
        waiting = (
            "SELECT pid FROM pg_stat_activity"
            " WHERE wait_event = 'transactionid' AND datname = current_database()"
        )
        ((pid,),) = wait_for(lambda: rows(waiting))
        jobs.cut([pid])
    jobs.wait_for_job(job)
    assert AGAIN in worker.said
    assert len(jobs.effects_of(f"{name}-begun")) == 2
    assert jobs.effects_of(f"{name}-ended") == [f"{name}-ended"]


def test_network_fails_and_postgresql_does_not_notice(
    workers: Workers, network: Proxy, name: str
) -> None:
    """The worker ends its old sessions, of which one says that it lives, and works on."""
    worker = workers.start("-c", "2")
    for number in range(3):
        jobs.wait_for_job(jobs.defer(sample.write, f"{name}-{number}"))
        before = set(jobs.sessions_of(worker.id))
        network.lose()
        wait_for(lambda before=before: jobs.listener_of(worker.id) not in (None, *before))
    assert worker.running
    assert len(worker.ids) == 1


def test_job_that_is_locked(workers: Workers, name: str) -> None:
    """The worker looks after its other jobs, and writes the end as soon as it can."""
    worker = workers.start("-c", "2")
    job = jobs.begun(tasks.hold, name, True)
    with jobs.locked_by_us(job):
        jobs.let_go(name)
        wait_for(lambda: "cannot be written yet" in worker.said)
        for number in range(3):
            jobs.wait_for_job(jobs.defer(sample.write, f"{name}-{number}"))
        jobs.wait_for_heartbeats(worker.id)
        assert jobs.state(job) == "doing"
    jobs.wait_for_job(job, status="failed")
    assert jobs.state(job, "error") == "ValueError: wrong"


def test_dead_worker_with_a_job_that_is_locked(workers: Workers, name: str) -> None:
    """Its other jobs are rescued, and that one as soon as it is free."""
    dead = workers.start("-c", "2")
    locked, free = held(f"{name}-locked"), held(f"{name}-free")
    other = workers.start("-c", "2")
    with jobs.locked_by_us(locked):
        dead.kill()
        jobs.wait_for_job(free)
        assert jobs.state(locked, "worker_id") == dead.id
    jobs.wait_for_job(locked)
    assert other.running


def test_jobs_wait_until_solr_is_back(workers: Workers, name: str) -> None:
    """Meanwhile the worker runs what needs no Solr."""
    dataset = call("package_create", new_user(sysadmin=True), name=name)["id"]
    with solr_through_proxy() as solr:
        worker = workers.start("-c", "2", "-q", "indexing")
        solr.refuse = True
        task = sample.write_and_patch.configure(queue="indexing")
        asked = [jobs.defer(task, f"{name}-{number}", dataset, "after") for number in range(2)]
        for job in asked:
            wait_for(lambda job=job: (jobs.state(job, "f.outages") or 0) >= 2)
            assert jobs.state(job) in ("todo", "doing")
            assert "Solr cannot be reached, pause" in jobs.state(job, "f.error")
        jobs.wait_for_job(jobs.defer(sample.write.configure(queue="indexing"), f"{name}-other"))
        assert jobs.effects_of(name) == [f"{name}-other"]
        solr.refuse = False
        jobs.wait_for_job(*asked)
        assert [jobs.state(job, "f.retries") for job in asked] == [0, 0]
        assert worker.stop() == 0
    assert len(jobs.effects_of(name)) == 3
    assert title_in_solr(dataset) == "after"
