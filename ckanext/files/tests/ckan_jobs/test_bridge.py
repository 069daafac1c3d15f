"""Jobs that move from RQ's Redis into rows, and back, also by processes that are killed."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import random
import string
from collections import Counter
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import rq
from ckan import model
from ckan.lib import jobs
from ckan.lib.redis import connect_to_redis
from redis.connection import AbstractConnection
from rq.job import Dependency
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from ckanext.files.advisory_locks import JOBS_BRIDGE
from ckanext.files.background import control
from ckanext.files.ckan_jobs import bridge, commit, store, way_back
from ckanext.files.ckan_jobs.errors import BridgeError
from ckanext.files.ckan_jobs.queue import Queue
from ckanext.files.ckan_jobs.redis_jobs import RedisJobs
from ckanext.files.tests.ckan_jobs.test_queue import row
from ckanext.files.tests.support.console import run_jobs
from ckanext.files.tests.support.crash import fork, kill_now, was_killed
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.functions import give_back
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.waiting import wait_for

UTC = dt.timezone.utc
LATER = dt.datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def redis() -> Any:
    """Redis, without jobs; it belongs to this run of the tests."""
    redis = connect_to_redis()
    for pattern in ("rq:*", "ckanext-files:*"):
        for key in redis.scan_iter(pattern):
            redis.delete(key)
    return redis


@pytest.fixture
def old(redis: Any, name: str) -> Any:
    """A queue of RQ."""
    return rq.Queue(jobs.add_queue_name_prefix(name), connection=redis)


@pytest.fixture
def new(name: str) -> Any:
    """The same queue, of rows."""
    queue = jobs.get_queue(name)
    assert isinstance(queue, Queue)
    return queue


def drain() -> dict[str, str | None]:
    found = {moved.rq_id: moved.reason for moved in bridge.drain()}
    model.Session.rollback()
    return found


def to_redis() -> dict[str, str | None]:
    found = {moved.rq_id: moved.reason for moved in way_back.to_redis()}
    model.Session.rollback()
    return found


def keys(redis: Any, *but: str) -> set[str]:
    """Return the keys in Redis that jobs have."""
    found = {key.decode() for pattern in ("rq:*", "ckanext-files:*") for key in redis.keys(pattern)}
    return found - {"rq:queues", *but}


def fork_worker(queue: Any) -> int:
    """Let a worker of RQ run in a process of its own until no job waits."""

    def work() -> None:
        connect_to_redis().connection_pool.disconnect()
        rq.SimpleWorker([queue], connection=connect_to_redis()).work(burst=True)

    return fork(work)


def test_real_worker_that_was_killed(old: Any, new: Any, redis: Any) -> None:
    job = old.enqueue(kill_now)

    assert was_killed(fork_worker(old))
    assert "a worker of RQ runs it" in str(drain()[job.id])
    [worker] = redis.keys("rq:worker:*")
    assert 0 < redis.ttl(worker) < 600
    redis.delete(worker)  # as Redis does then
    assert drain() == {job.id: None}
    assert new.job_ids == [job.id]
    assert not [key for key in keys(redis) if key.startswith(("rq:wip", "rq:job", "ckanext"))]


def test_rqs_workers_go_on_meanwhile(old: Any, new: Any) -> None:
    """Each job is run by RQ or becomes a row, and none does both."""
    ids = {old.enqueue(give_back, number).id for number in range(100)}

    worker = fork_worker(old)
    wait_for(lambda: old.count < len(ids))
    drain()
    os.waitpid(worker, 0)
    drain()
    run, moved = set(old.finished_job_registry.get_job_ids()), set(new.job_ids)
    assert run
    assert moved
    assert run | moved == ids
    assert run & moved == set()


def has_rq_2() -> bool:
    return hasattr(rq.job.Job, "execution_registry")


def begin(redis: Any, job: Any, worker: str) -> None:
    """Put a job where RQ has it while a worker runs it, see ``prepare_for_execution``."""
    # RQ 2 has the id of the execution beside the job's
    member = f"{job.id}:execution" if has_rq_2() else job.id
    redis.lrem(f"rq:queue:{job.origin}", 1, job.id)
    redis.zadd(StartedJobRegistry.key_template.format(job.origin), {member: 1})
    redis.hset(job.key, mapping={"status": "started", "worker_name": worker})


def plant(old: Any) -> list[Any]:
    """Ask RQ for jobs of each kind: two that wait, one for a time, and one for another one."""
    first = old.enqueue_call(
        give_back, [{"token": 1}], timeout=77, meta={"title": "Title", "more": 2}
    )
    return [
        first,
        old.enqueue(give_back, 2),
        old.enqueue_at(LATER, give_back, 3),
        old.enqueue(give_back, 4, depends_on=Dependency([first.id], allow_failure=True)),
    ]


def test_jobs_keep_all_that_they_have(old: Any, new: Any, redis: Any) -> None:
    first, second, timed, deferred = planted = plant(old)
    foreign = rq.Queue("ckan:another-site:default", connection=redis).enqueue(give_back)
    assert drain() == {job.id: None for job in planted}
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
    assert drain() == {}

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
    found = drain()
    assert found.pop(dead.id) is None
    assert set(found) == {alive.id, popped.id}
    assert all(reason and "a worker of RQ" in reason for reason in found.values())
    assert new.job_ids == [dead.id]
    assert new.jobs[0].started_at is None

    redis.delete("rq:worker:alive")
    assert drain() == {alive.id: None, popped.id: None}
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
        found = drain()
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
    assert drain()[doubled.id] is None
    assert new.jobs[0].args == (2,)


def plant_id(old: Any, rq_id: str, **options: Any) -> None:
    """Ask for a job with an id that RQ of CKAN 2.11 takes, and RQ of CKAN 2.12 refuses."""
    job = old.create_job(give_back, (1,), timeout=9, **options)
    job._id = rq_id
    old.enqueue_job(job)


@pytest.mark.parametrize(
    "rq_id", ["resource.1:load", "a b", "ä", "%s%(a)s", "x" * 3000], ids=range(5)
)
def test_any_id(old: Any, new: Any, rq_id: str) -> None:
    """The id stays, whatever is in it, and so do the lists of jobs."""
    plant_id(old, rq_id)
    last = old.enqueue(give_back, 2)
    assert drain() == {rq_id: None, last.id: None}
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


def test_way_back_of_any_id(old: Any, new: Any) -> None:
    """What RQ would not read stays, with what waits for it."""
    plant_id(old, "a b")
    drain()
    after, last = new.enqueue(give_back, depends_on="a b"), new.enqueue(give_back)
    found = to_redis()
    assert found.pop(last.id) is None
    if has_rq_2():
        assert "RQ refuses its id" in str(found["a b"])
        assert "a b" in str(found[after.id])
    assert (old.job_ids, new.job_ids) == (
        ([last.id], ["a b"]) if has_rq_2() else (["a b", last.id], [])
    )


def test_what_postgresql_refuses(old: Any, new: Any) -> None:
    """It stays, and stops no other job."""
    nul, long = "a\0b", "".join(random.Random(1).choices(string.printable, k=9000))
    for rq_id in (nul, long):
        plant_id(old, rq_id)
    titled = old.enqueue_call(give_back, meta={"title": nul})
    last = old.enqueue(give_back)
    for _ in range(2):
        found = drain()
        assert found.pop(last.id, None) is None
        assert found.keys() == {nul, long, titled.id}
        assert all(reason and "PostgreSQL refuses" in reason for reason in found.values())
        assert set(old.job_ids) == found.keys()
        assert new.job_ids == [last.id]


def test_one_process_at_a_time(old: Any) -> None:
    old.enqueue(give_back)
    with bridge.one_at_a_time():
        for other in (drain, to_redis):
            with pytest.raises(BridgeError, match="Another process"):
                other()
    assert len(drain()) == 1


def die_after(number: int) -> None:
    """Be killed after an answer of Redis, or a commit, counted from 1."""
    left = itertools.count(number, -1)

    def killing(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_die(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            if next(left) == 1:
                kill_now()
            return result

        return call_and_die

    for owner, name in (
        (AbstractConnection, "read_response"),
        (commit._OwnConnection, "run"),
    ):
        setattr(owner, name, killing(getattr(owner, name)))


LOCKED = f"""
    SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND objid = {JOBS_BRIDGE}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def kill_everywhere(move: Callable[[], Any], prepare: Callable[[], Any]) -> int:
    """Let a process that moves jobs be killed after each thing that it does; return how often.

    After each kill a second process does the rest.
    """
    for number in itertools.count(1):
        prepare()

        def move_and_die(number: int = number) -> None:
            connect_to_redis().connection_pool.disconnect()
            die_after(number)
            move()

        killed = was_killed(fork(move_and_die))
        wait_for(lambda: not rows(LOCKED))  # PostgreSQL has noticed
        move()
        if not killed:
            return number - 1
    raise AssertionError


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

    assert kill_everywhere(drain, prepare) > 20
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
        assert drain() == {name: "a job with this id waits or runs in PostgreSQL"}
        assert (old.job_ids, new.job_ids) == ([name], [name])
    hold(name)
    other.cancel()
    assert drain() == {name: None}
    assert (old.job_ids, [job.args for job in new.jobs]) == ([], [(1,)])


def test_held_job_has_its_row(old: Any, new: Any, redis: Any, name: str) -> None:
    """It is known also when its function has changed it, and when its id is taken after that."""
    old.enqueue_call(give_back, (1,), job_id=name)
    hold(name)
    left = {key: redis.hgetall(key) for key in keys(redis)}
    assert drain() == {name: None}
    assert keys(redis) == set()
    job = new.fetch_job(name)
    job.meta["progress"] = 1
    job.save_meta()
    for number in (1, 2):
        for key, values in left.items():
            redis.hset(key, mapping=values)
        assert drain() == {name: None}
        assert keys(redis) == set()
        assert [job.args for job in new.jobs] == [(number,)]
        new.enqueue_call(give_back, (2,), job_id=name)


def test_way_back(old: Any, new: Any, redis: Any) -> None:
    """As RQ would have the jobs; and to and fro, with the same ids."""
    planted = plant(new)
    first, second, timed, deferred = (job.id for job in planted)
    front = new.enqueue_call(give_back, [5], at_front=True).id
    for _ in range(2):
        assert [*to_redis()] == [front, first, second, timed, deferred]
        assert to_redis() == {}
        assert old.job_ids == [front, first, second]
        key = ScheduledJobRegistry.key_template.format(old.name)
        assert redis.zscore(key, timed) == LATER.timestamp()
        assert old.deferred_job_registry.get_job_ids() == [deferred]
        moved = old.fetch_job(first)
        assert (moved.args, moved.timeout) == ([{"token": 1}], 77)
        assert moved.meta == {"title": "Title", "more": 2}
        assert [old.fetch_job(rq_id).get_status() for rq_id in (first, timed, deferred)] == [
            "queued",
            "scheduled",
            "deferred",
        ]
        assert new.count == 0
        assert set(drain().values()) == {None}
        assert new.job_ids == [front, first, second]
    assert to_redis()
    worker = rq.SimpleWorker([old], connection=redis)
    worker.work(burst=True)
    assert old.fetch_job(deferred).get_status() == "finished"


def test_what_stays_on_the_way_back(old: Any, new: Any, redis: Any) -> None:
    forged, doubled, failed, good = (new.enqueue(give_back, number) for number in range(4))
    change(f"UPDATE {S}.files_rq_job SET hash = hash || 'x' WHERE rq_id = :id", id=forged.id)
    old.enqueue_call(give_back, job_id=doubled.id)
    waiting = new.enqueue(give_back, depends_on=[failed, good])
    after_it = new.enqueue(give_back, depends_on=waiting)
    status = f"UPDATE {S}.procrastinate_jobs SET status = '{{}}' WHERE id ="
    status += f" (SELECT job_id FROM {S}.files_rq_job WHERE rq_id = :id)"
    change(status.format("doing"), id=good.id)
    with pytest.raises(BridgeError, match="run 1 of the jobs"):
        to_redis()
    change(status.format("todo"), id=good.id)
    # a worker begins a job after the look at it
    moved = way_back.to_redis()
    assert next(moved).rq_id == forged.id
    change(status.format("doing"), id=good.id)
    with pytest.raises(BridgeError, match="meanwhile"):
        list(moved)
    assert rows(f"SELECT FROM {S}.procrastinate_jobs WHERE status = 'cancelled'") == []
    change(status.format("todo"), id=good.id)
    change(status.format("failed"), id=failed.id)
    found = to_redis()
    assert found.pop(good.id) is None
    assert "SECRET_KEY" in str(found[forged.id])
    assert found[doubled.id] == "a job with this id waits or runs in Redis"
    assert failed.id in str(found[waiting.id])
    assert waiting.id in str(found[after_it.id])
    assert len(found) == 4
    assert {job.id for job in new.jobs} == {forged.id, doubled.id}
    assert old.job_ids == [doubled.id, good.id]


def interrupt_way_back(queue: Any) -> str:
    """Stop when one more job is in Redis, which begins before all others; return its id."""
    front = queue.enqueue_call(give_back, at_front=True)
    moved: Any = way_back.to_redis()
    assert next(moved).rq_id == front.id
    moved.close()
    wait_for(lambda: not rows(LOCKED))
    return front.id


def test_jobs_on_their_way_back_are_not_purged(old: Any, new: Any) -> None:
    job = new.enqueue(give_back)
    front = interrupt_way_back(new)
    tomorrow = dt.datetime.now(UTC) + dt.timedelta(days=1)
    for dry_run in (True, False):
        assert sum(control.purge(tomorrow, dry_run=dry_run), Counter()) == {"cancelled": 1}
    assert control.delete([row(job).id]) == 0
    model.Session.commit()
    assert to_redis() == {job.id: None}
    assert old.job_ids == [front, job.id]
    # as soon as it is in Redis, it is history like any other job
    assert sum(control.purge(tomorrow), Counter()) == {"cancelled": 1}


def test_jobs_on_their_way_back_are_not_run_again(old: Any, new: Any) -> None:
    job = new.enqueue(give_back)
    front = interrupt_way_back(new)
    assert not control.retry(row(job).id)
    model.Session.commit()
    assert new.count == 0
    assert to_redis() == {job.id: None}
    assert old.job_ids == [front, job.id]


def test_job_on_its_way_back_becomes_unreadable(old: Any, new: Any) -> None:
    """It is noted on, for a later run, and the others go."""
    bad, good = (new.enqueue(give_back, number) for number in range(2))
    front = interrupt_way_back(new)
    forge = f"UPDATE {S}.files_rq_job SET hash = {{}} WHERE rq_id = :id"
    change(forge.format("hash || 'x'"), id=bad.id)
    found = to_redis()
    assert "SECRET_KEY" in str(found.pop(bad.id))
    assert found == {good.id: None}
    assert (old.job_ids, way_back.count()) == ([front, good.id], 1)
    change(forge.format("substr(hash, 1, length(hash) - 1)"), id=bad.id)
    assert to_redis() == {bad.id: None}
    assert (old.job_ids, way_back.count()) == ([front, good.id, bad.id], 0)


def test_id_of_a_job_on_its_way_back_is_used_again(old: Any, new: Any, name: str) -> None:
    """Only the newest job with the id goes to Redis."""
    new.enqueue_call(give_back, (1,), job_id=name)
    after = new.enqueue(give_back, depends_on=name)
    front = interrupt_way_back(new)
    new.enqueue_call(give_back, (2,), job_id=name)
    assert to_redis() == {name: None, after.id: None}
    assert (old.job_ids, new.job_ids) == ([front, name], [])
    assert old.fetch_job(name).args == (2,)
    assert old.fetch_job(after.id).get_status() == "deferred"


def test_id_is_used_again_during_the_way_back(old: Any, new: Any, name: str) -> None:
    """The new job stays until the next run, and so does what waits for it."""
    first = new.enqueue(give_back)
    new.enqueue_call(give_back, (1,), job_id=name)
    after = new.enqueue(give_back, depends_on=name)
    moved = way_back.to_redis()
    assert next(moved).rq_id == first.id
    new.enqueue_call(give_back, (2,), job_id=name)
    assert [each.rq_id for each in moved] == [after.id]
    assert (old.job_ids, new.job_ids) == ([first.id], [name])
    assert old.fetch_job(after.id).get_status() == "deferred"
    assert to_redis() == {name: None}
    assert old.fetch_job(name).args == (2,)


def test_way_back_is_killed_everywhere(old: Any, new: Any, redis: Any) -> None:
    planted: list[list[str]] = []

    def prepare() -> None:
        check()
        planted.append([job.id for job in plant(new)])

    def check() -> None:
        for first, second, timed, deferred in planted:
            assert old.job_ids.count(first) == old.job_ids.count(second) == 1
            assert timed in old.scheduled_job_registry.get_job_ids()
            assert deferred in old.deferred_job_registry.get_job_ids()
        assert len(old.job_ids) == 2 * len(planted)
        assert rows(f"SELECT FROM {S}.procrastinate_jobs WHERE status <> 'cancelled'") == []
        assert redis.keys("ckanext-files:*") == []

    assert kill_everywhere(to_redis, prepare) > 20
    check()


def test_commands(old: Any, new: Any, redis: Any) -> None:
    good, bad = old.enqueue(give_back, "secret"), old.enqueue(give_back)
    redis.hset(bad.key, "data", b"no pickle")
    code, said = run_jobs("drain", typed="n\n")
    assert (code, new.count) == (1, 0)
    assert "Take 2 jobs over from Redis" in said
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
