"""Jobs that move from RQ's Redis into rows, also by processes that are killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ckan.lib.redis
import ckan.plugins.toolkit as tk
import pytest
import rq
from ckan.lib import jobs
from rq.job import UNEVALUATED
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from ckanext.files.ckan_jobs import moving, store
from ckanext.files.ckan_jobs.errors import MoveError
from ckanext.files.ckan_jobs.redis_jobs import RedisJobs
from ckanext.files.tests.ckan_jobs.moving.support import (
    LATER,
    fork_worker,
    has_rq_2,
    keys,
    kill_everywhere,
    plant,
    plant_id,
    run_drain,
    run_to_redis,
)
from ckanext.files.tests.support.console import run_jobs
from ckanext.files.tests.support.crash import kill_now, was_killed
from ckanext.files.tests.support.effects import rows
from ckanext.files.tests.support.functions import give_back
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.waiting import wait_for


def test_real_worker_that_was_killed(old: Any, new: Any, redis: Any) -> None:
    job = old.enqueue(kill_now)

    assert was_killed(fork_worker(old))
    assert "a worker of RQ runs it" in str(run_drain()[job.id])
    [worker] = redis.keys("rq:worker:*")
    assert 0 < redis.ttl(worker) < 600
    redis.delete(worker)  # as Redis does then
    assert run_drain() == {job.id: None}
    assert new.job_ids == [job.id]
    assert not [key for key in keys(redis) if key.startswith(("rq:wip", "rq:job", "ckanext"))]


def test_rqs_workers_go_on_meanwhile(old: Any, new: Any) -> None:
    """Each job is run by RQ or becomes a row, and none does both."""
    ids = {old.enqueue(give_back, number).id for number in range(100)}

    worker = fork_worker(old)
    wait_for(lambda: old.count < len(ids))
    run_drain()
    os.waitpid(worker, 0)
    run_drain()
    run, moved = set(old.finished_job_registry.get_job_ids()), set(new.job_ids)
    assert run
    assert moved
    assert run | moved == ids
    assert run & moved == set()


def begin(redis: Any, job: Any, worker: str) -> None:
    """Put a job where RQ has it while a worker runs it, see ``prepare_for_execution``."""
    # RQ 2 has the id of the execution beside the job's
    member = f"{job.id}:execution" if has_rq_2() else job.id
    redis.lrem(f"rq:queue:{job.origin}", 1, job.id)
    redis.zadd(StartedJobRegistry.key_template.format(job.origin), {member: 1})
    redis.hset(job.key, mapping={"status": "started", "worker_name": worker})


def test_jobs_keep_all_that_they_have(old: Any, new: Any, redis: Any) -> None:
    first, second, timed, deferred = planted = plant(old)
    foreign = rq.Queue("ckan:another-site:default", connection=redis).enqueue(give_back)
    assert run_drain() == {job.id: None for job in planted}
    assert new.job_ids == [first.id, second.id]
    assert new.scheduled_job_registry.get_job_ids() == [timed.id]
    assert new.deferred_job_registry.get_job_ids() == [deferred.id]
    moved = new.jobs[0]
    assert (moved.args, moved.func, moved.timeout) == ([{"token": 1}], give_back, 77)
    assert moved.meta == {"title": "Title", "more": 2}
    assert moved.created_at == first.created_at
    job_id = f"(SELECT job_id FROM {S}.files_rq_job WHERE rq_id = :id)"
    query = f"SELECT scheduled_at FROM {S}.procrastinate_jobs WHERE id = {job_id}"
    assert rows(query, id=timed.id) == [(LATER,)]
    dependencies = f"SELECT on_rq_id, allow_failure FROM {S}.files_rq_dependency"
    assert rows(dependencies) == [(first.id, True)]
    # nothing is left but the other site's job
    assert keys(redis) == {"rq:queue:ckan:another-site:default", f"rq:job:{foreign.id}"}
    assert run_drain() == {}

    jobs.Worker(new.name.rpartition(":")[2]).work(burst=True)
    assert [new.fetch_job(job.id).get_status() for job in planted] == [
        "finished",
        "finished",
        "scheduled",
        "finished",
    ]


def test_jobs_of_dead_workers(old: Any, new: Any, redis: Any) -> None:
    """What a worker had begun begins again, unless the worker lives: RQ's keys of these expire."""
    dead, alive, popped = (old.enqueue(give_back) for _ in range(3))
    begin(redis, dead, "dead")
    begin(redis, alive, "alive")
    redis.hset("rq:worker:alive", "birth", "now")
    redis.lrem(old.key, 1, popped.id)
    redis.lpush(f"{old.key}:intermediate", popped.id)
    redis.set(f"{old.key}:intermediate:first_seen:{popped.id}", 1)
    redis.sadd(f"rq:workers:{old.name}", "rq:worker:alive")
    found = run_drain()
    assert found.pop(dead.id) is None
    assert set(found) == {alive.id, popped.id}
    assert all(reason and "a worker of RQ" in reason for reason in found.values())
    assert new.job_ids == [dead.id]
    assert new.jobs[0].started_at is None

    redis.delete("rq:worker:alive")
    assert run_drain() == {alive.id: None, popped.id: None}
    assert new.count == 3


def test_what_stays(old: Any, new: Any, redis: Any) -> None:
    """It stays as it was, and is named; ids without a job are forgotten, as RQ does."""
    unreadable, expired, doubled = (old.enqueue(give_back, number) for number in range(3))
    redis.hset(unreadable.key, "data", b"\x80\x04no pickle")
    redis.delete(expired.key)
    other = new.enqueue_call(give_back, job_id=doubled.id)
    empty = old.enqueue(give_back)
    redis.hdel(empty.key, "data")
    unknown = old.enqueue(give_back, depends_on=unreadable)
    chained = old.enqueue(give_back, depends_on=unknown)
    gone = old.enqueue(give_back, depends_on=doubled)
    redis.hset(gone.key, mapping={"dependency_ids": '["no-such-job"]'})
    for _ in range(2):
        found = run_drain()
        assert found.keys() == {
            job.id for job in (unreadable, doubled, empty, unknown, chained, gone)
        }
        assert "cannot be read: UnpicklingError" in str(found[unreadable.id])
        assert found[empty.id] == "it has no function"
        assert found[doubled.id] == "a job with this id waits or runs in PostgreSQL"
        assert unreadable.id in str(found[unknown.id])
        assert unknown.id in str(found[chained.id])
        assert "unknown jobs: no-such-job" in str(found[gone.id])
    in_list = [member.decode() for member in redis.lrange(old.key, 0, -1)]
    assert in_list == [unreadable.id, doubled.id, empty.id]
    assert redis.zcard(DeferredJobRegistry.key_template.format(old.name)) == 3
    assert new.job_ids == [other.id]
    other.cancel()
    assert run_drain()[doubled.id] is None
    assert new.jobs[0].args == (2,)


@pytest.mark.parametrize(
    "rq_id", ["resource.1:load", "a b", "ä", "%s%(a)s", "x" * 1000], ids=range(5)
)
def test_any_id(old: Any, new: Any, rq_id: str) -> None:
    """The id stays, whatever is in it, and so do the lists of jobs."""
    plant_id(old, rq_id)
    last = old.enqueue(give_back, 2)
    assert run_drain() == {rq_id: None, last.id: None}
    assert new.job_ids == [job.id for job in new.jobs] == [rq_id, last.id]
    listed = tk.get_action("job_list")({"ignore_auth": True}, {})
    assert [job["id"] for job in listed] == [rq_id, last.id]
    shown = tk.get_action("job_show")({"ignore_auth": True}, {"id": rq_id})
    assert shown["id"] == rq_id
    after = new.enqueue(give_back, 3, depends_on=rq_id)
    assert after.get_status() == "deferred"
    jobs.Worker(new.name.rpartition(":")[2]).work(burst=True)
    assert new.fetch_job(rq_id).get_status() == "finished"
    assert new.fetch_job(rq_id).result == 1
    assert new.fetch_job(after.id).get_status() == "finished"


def test_what_postgresql_refuses(old: Any, new: Any) -> None:
    """It stays, and stops no other job."""
    nul, long = "a\0b", 1001 * "x"
    for rq_id in (nul, long):
        plant_id(old, rq_id)
    last = old.enqueue_call(give_back, meta={"title": nul})
    for _ in range(2):
        found = run_drain()
        assert found.pop(last.id, None) is None
        assert "PostgreSQL cannot hold" in str(found.pop(nul))
        assert "is longer than 1000 bytes" in str(found.pop(long))
        assert found == {}
        assert old.job_ids == [nul, long]
        assert new.job_ids == [last.id]


def spoil_path(job: Any, redis: Any) -> None:
    job._func_name, job._data = "module.function\0", UNEVALUATED
    job.save()


def spoil_meta(job: Any, redis: Any) -> None:
    job.meta = [1]
    job.save()


def spoil_time(job: Any, redis: Any) -> None:
    redis.zadd(ScheduledJobRegistry.key_template.format(job.origin), {job.id: 1e20})


@pytest.mark.parametrize("spoil", [spoil_path, spoil_meta, spoil_time])
def test_what_is_odd_stops_no_other(
    old: Any, new: Any, redis: Any, spoil: Callable[[Any, Any], None]
) -> None:
    odd = old.enqueue_at(LATER, give_back, 1)
    spoil(odd, redis)
    for _ in range(2):
        last = old.enqueue(give_back, 2)
        found = run_drain()
        assert found.pop(last.id) is None
        assert new.fetch_job(last.id)
        assert all(found.values()) or new.fetch_job(odd.id)


def test_one_process_at_a_time(old: Any) -> None:
    old.enqueue(give_back)
    with moving.one_at_a_time():
        for other in (run_drain, run_to_redis):
            with pytest.raises(MoveError, match="Another process"):
                other()
    assert len(run_drain()) == 1


def test_drain_is_killed_everywhere(old: Any, new: Any, redis: Any, effects: Any) -> None:
    """No job is lost, and none is doubled."""
    planted: list[list[str]] = []

    def prepare() -> None:
        check()
        planted.append([job.id for job in plant(old)])

    def check() -> None:
        ids = [rq_id for each in planted for rq_id in each]
        found = rows(f"SELECT rq_id FROM {S}.files_rq_job ORDER BY rq_id")
        assert [rq_id for (rq_id,) in found] == sorted(ids)
        assert keys(redis) == set()

    assert kill_everywhere(run_drain, prepare) > 20
    check()


def hold(rq_id: str) -> None:
    """Leave a job as a ``drain`` does that is killed before it has written the row."""
    redis_jobs = RedisJobs()
    [entry] = [entry for entry in redis_jobs.entries("queued") if entry.rq_id == rq_id]
    entry.after = store.last_id()
    assert redis_jobs.hold(entry)


def test_held_id_is_used_again(old: Any, new: Any, name: str) -> None:
    """The job of Redis is another one: it stays until the new one has ended."""
    old.enqueue_call(give_back, (1,), job_id=name)
    hold(name)
    other = new.enqueue_call(give_back, (2,), job_id=name)
    for _ in range(2):
        assert run_drain() == {name: "a job with this id waits or runs in PostgreSQL"}
        assert (old.job_ids, new.job_ids) == ([name], [name])
    hold(name)
    other.cancel()
    assert run_drain() == {name: None}
    assert (old.job_ids, [job.args for job in new.jobs]) == ([], [(1,)])


def test_held_job_has_its_row(old: Any, new: Any, redis: Any, name: str) -> None:
    """It is known also when its function has changed it, and when its id is taken after that."""
    old.enqueue_call(give_back, (1,), job_id=name)
    hold(name)
    left = {key: redis.hgetall(key) for key in keys(redis)}
    assert run_drain() == {name: None}
    assert keys(redis) == set()
    job = new.fetch_job(name)
    job.meta["progress"] = 1
    job.save_meta()
    for number in (1, 2):
        for key, values in left.items():
            redis.hset(key, mapping=values)
        assert run_drain() == {name: None}
        assert keys(redis) == set()
        assert [job.args for job in new.jobs] == [(number,)]
        new.enqueue_call(give_back, (2,), job_id=name)


def test_commands(old: Any, new: Any, redis: Any) -> None:
    good, bad = old.enqueue(give_back, "secret"), old.enqueue(give_back)
    redis.hset(bad.key, "data", b"no pickle")
    code, said = run_jobs("drain", typed="n\n")
    assert (code, new.count) == (1, 0)
    assert "Redis has 2 jobs of this site (waiting: 2). They have no signature: " in said
    assert "Take them over? [y/N]: n" in said
    code, said = run_jobs("drain", typed="y\n")
    assert (code, new.job_ids) == (1, [good.id])
    assert "Taken over: 1 job\n" in said
    assert f"  - {bad.id}: it cannot be read" in said
    assert "secret" not in said
    assert run_jobs("drain", "--json")[0] == 2
    code, said = run_jobs("to-redis", "--json", "--yes")
    assert (code, said) == (0, '{\n  "moved": 1,\n  "stay": {}\n}\n')
    bad.delete()
    assert run_jobs("drain", "--yes") == (0, "Taken over: 1 job\n")
    assert run_jobs("drain") == (0, "Taken over: 0 jobs\n")


def test_question_says_how_many_jobs_there_are(old: Any, redis: Any) -> None:
    begin(redis, old.enqueue(give_back), "dead")
    plant(old)
    said = run_jobs("drain", typed="n\n")[1]
    parts = "waiting: 2, waiting for a time or for other jobs: 2, begun by a worker: 1"
    assert f"Redis has 5 jobs of this site ({parts}). " in said


def test_worker_says_that_redis_has_jobs(
    old: Any, redis: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also jobs that a worker of RQ, or ``drain``, had when it was killed. It needs no Redis."""

    def logged() -> list[str]:
        caplog.clear()
        jobs.Worker().work(burst=True)
        return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]

    def words(number: int) -> list[str]:
        return [f"Redis has jobs of this site: {number}. ckan files jobs drain takes them over"]

    assert logged() == []
    old.enqueue_at(LATER, give_back)
    assert logged() == words(1)
    plant(old)
    begin(redis, old.enqueue(give_back), "dead")
    rq.Queue("ckan:another-site:default", connection=redis).enqueue(give_back)
    assert logged() == words(6)
    for entry in RedisJobs().entries("queued"):
        hold(entry.rq_id)
    assert logged() == words(6)
    with monkeypatch.context() as patch:
        patch.setitem(tk.config, "ckan.redis.url", "redis://localhost:1/0")
        patch.setattr(ckan.lib.redis, "_connection_pool", None)
        assert logged() == []
    run_drain()
    assert logged() == []
