"""Jobs that move from rows into RQ's Redis, also by processes that are killed."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
import rq
from ckan import model
from ckan.lib import jobs
from rq.registry import ScheduledJobRegistry

from ckanext.files.background import control
from ckanext.files.ckan_jobs import to_redis
from ckanext.files.ckan_jobs.errors import MoveError
from ckanext.files.tests.ckan_jobs.moving.support import (
    LATER,
    LOCKED,
    UTC,
    has_rq_2,
    keys,
    kill_everywhere,
    plant,
    plant_id,
    run_drain,
    run_to_redis,
)
from ckanext.files.tests.ckan_jobs.test_queue import row
from ckanext.files.tests.support.effects import change, rows
from ckanext.files.tests.support.functions import give_back
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.waiting import wait_for

ON_THEIR_WAY = f"""
    SELECT r.rq_id FROM {S}.files_rq_outbox o JOIN {S}.files_rq_job r ON r.job_id = o.job_id
"""
MARK = f"ckanext-files:returned:{jobs.add_queue_name_prefix('')}"


def test_any_id(old: Any, new: Any) -> None:
    """What RQ would not read stays, with what waits for it."""
    plant_id(old, "a b")
    run_drain()
    after, last = new.enqueue(give_back, depends_on="a b"), new.enqueue(give_back)
    found = run_to_redis()
    assert found.pop(last.id) is None
    if has_rq_2():
        assert "RQ cannot read it: ValueError: Job ID must only" in str(found["a b"])
        assert "a b" in str(found[after.id])
    assert (old.job_ids, new.job_ids) == (
        ([last.id], ["a b"]) if has_rq_2() else (["a b", last.id], [])
    )


def test_to_redis(old: Any, new: Any, redis: Any) -> None:
    """As RQ would have the jobs; and to and fro, with the same ids."""
    planted = plant(new)
    first, second, timed, deferred = (job.id for job in planted)
    front = new.enqueue_call(give_back, [5], at_front=True).id
    for _ in range(2):
        assert [*run_to_redis()] == [front, first, second, timed, deferred]
        assert run_to_redis() == {}
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
        assert set(run_drain().values()) == {None}
        assert new.job_ids == [front, first, second]
    assert run_to_redis()
    worker = rq.SimpleWorker([old], connection=redis)
    worker.work(burst=True)
    assert old.fetch_job(deferred).get_status() == "finished"


def test_what_stays(old: Any, new: Any, redis: Any) -> None:
    forged, doubled, failed, good = (new.enqueue(give_back, number) for number in range(4))
    change(f"UPDATE {S}.files_rq_job SET hash = hash || 'x' WHERE rq_id = :id", id=forged.id)
    old.enqueue_call(give_back, job_id=doubled.id)
    waiting = new.enqueue(give_back, depends_on=[failed, good])
    after_it = new.enqueue(give_back, depends_on=waiting)
    status = f"UPDATE {S}.procrastinate_jobs SET status = '{{}}' WHERE id ="
    status += f" (SELECT job_id FROM {S}.files_rq_job WHERE rq_id = :id)"
    change(status.format("doing"), id=good.id)
    with pytest.raises(MoveError, match="run 1 of the jobs"):
        run_to_redis()
    change(status.format("todo"), id=good.id)
    # a worker begins a job after the look at it
    moved = to_redis.run()
    assert next(moved).rq_id == forged.id
    change(status.format("doing"), id=good.id)
    with pytest.raises(MoveError, match="meanwhile"):
        list(moved)
    assert rows(f"SELECT FROM {S}.procrastinate_jobs WHERE status = 'cancelled'") == []
    change(status.format("todo"), id=good.id)
    change(status.format("failed"), id=failed.id)
    found = run_to_redis()
    assert found.pop(good.id) is None
    assert "SECRET_KEY" in str(found[forged.id])
    assert found[doubled.id] == "a job with this id waits or runs in Redis"
    assert failed.id in str(found[waiting.id])
    assert waiting.id in str(found[after_it.id])
    assert len(found) == 4
    assert {job.id for job in new.jobs} == {forged.id, doubled.id}
    assert old.job_ids == [doubled.id, good.id]


def interrupt(queue: Any) -> str:
    """Stop when one more job is in Redis, which begins before all others; return its id."""
    front = queue.enqueue_call(give_back, at_front=True)
    moved: Any = to_redis.run()
    assert next(moved).rq_id == front.id
    moved.close()
    wait_for(lambda: not rows(LOCKED))
    return front.id


def test_jobs_on_their_way_are_not_purged(old: Any, new: Any) -> None:
    job = new.enqueue(give_back)
    front = interrupt(new)
    tomorrow = dt.datetime.now(UTC) + dt.timedelta(days=1)
    for dry_run in (True, False):
        assert sum(control.purge(tomorrow, dry_run=dry_run), Counter()) == {"cancelled": 1}
    assert control.delete([row(job).id]) == 0
    model.Session.commit()
    assert run_to_redis() == {job.id: None}
    assert old.job_ids == [front, job.id]
    # as soon as it is in Redis, it is history like any other job
    assert sum(control.purge(tomorrow), Counter()) == {"cancelled": 1}


def test_jobs_on_their_way_are_not_run_again(old: Any, new: Any) -> None:
    job = new.enqueue(give_back)
    front = interrupt(new)
    assert not control.retry(row(job).id)
    model.Session.commit()
    assert new.count == 0
    assert run_to_redis() == {job.id: None}
    assert old.job_ids == [front, job.id]


def test_job_on_its_way_becomes_unreadable(old: Any, new: Any) -> None:
    """It is noted on, for a later run, and the others go."""
    bad, good = (new.enqueue(give_back, number) for number in range(2))
    front = interrupt(new)
    forge = f"UPDATE {S}.files_rq_job SET hash = {{}} WHERE rq_id = :id"
    change(forge.format("hash || 'x'"), id=bad.id)
    found = run_to_redis()
    assert "SECRET_KEY" in str(found.pop(bad.id))
    assert found == {good.id: None}
    assert (old.job_ids, to_redis.count()) == ([front, good.id], 1)
    change(forge.format("substr(hash, 1, length(hash) - 1)"), id=bad.id)
    assert run_to_redis() == {bad.id: None}
    assert (old.job_ids, to_redis.count()) == ([front, good.id, bad.id], 0)


def test_id_of_a_job_on_its_way_is_used_again(old: Any, new: Any, name: str) -> None:
    """Only the newest job with the id goes to Redis."""
    new.enqueue_call(give_back, (1,), job_id=name)
    after = new.enqueue(give_back, depends_on=name)
    front = interrupt(new)
    new.enqueue_call(give_back, (2,), job_id=name)
    assert run_to_redis() == {name: None, after.id: None}
    assert (old.job_ids, new.job_ids) == ([front, name], [])
    assert old.fetch_job(name).args == (2,)
    assert old.fetch_job(after.id).get_status() == "deferred"


def test_id_is_used_again_on_the_way(old: Any, new: Any, name: str) -> None:
    """The new job stays until the next run, and so does what waits for it."""
    first = new.enqueue(give_back)
    new.enqueue_call(give_back, (1,), job_id=name)
    after = new.enqueue(give_back, depends_on=name)
    moved = to_redis.run()
    assert next(moved).rq_id == first.id
    new.enqueue_call(give_back, (2,), job_id=name)
    assert [each.rq_id for each in moved] == [after.id]
    assert (old.job_ids, new.job_ids) == ([first.id], [name])
    assert old.fetch_job(after.id).get_status() == "deferred"
    assert run_to_redis() == {name: None}
    assert old.fetch_job(name).args == (2,)


def test_to_redis_is_killed_everywhere(old: Any, new: Any, redis: Any) -> None:
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

    assert kill_everywhere(run_to_redis, prepare) > 20
    check()


def test_drain_after_a_kill(old: Any, new: Any, redis: Any) -> None:
    """Some jobs are in Redis, others on their way, some both: none is lost or doubled."""
    planted: list[str] = []

    def prepare() -> None:
        for key in keys(redis):
            redis.delete(key)
        planted[:] = [job.id for job in plant(new)]

    def drain_and_go_back() -> None:
        assert set(run_drain().values()) <= {None}
        assert keys(redis, MARK) == set()
        waiting = [*new.job_ids, *new.scheduled_job_registry.get_job_ids()]
        waiting += new.deferred_job_registry.get_job_ids()
        on_their_way = [rq_id for (rq_id,) in rows(ON_THEIR_WAY)]
        assert sorted(waiting + on_their_way) == sorted(planted)
        assert set(run_to_redis().values()) <= {None}
        first, second, timed, deferred = planted
        assert sorted(old.job_ids) == sorted([first, second])
        assert old.scheduled_job_registry.get_job_ids() == [timed]
        assert old.deferred_job_registry.get_job_ids() == [deferred]
        assert rows(f"SELECT FROM {S}.procrastinate_jobs WHERE status <> 'cancelled'") == []

    assert kill_everywhere(run_to_redis, prepare, drain_and_go_back) > 20
