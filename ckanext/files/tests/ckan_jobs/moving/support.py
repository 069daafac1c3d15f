"""Jobs to move, moves, and processes that are killed while they move jobs."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any

import rq
from ckan import model
from ckan.lib.redis import connect_to_redis
from redis.connection import AbstractConnection
from rq.job import Dependency

from ckanext.files.advisory_locks import JOBS_MOVE
from ckanext.files.ckan_jobs import commit, drain, to_redis
from ckanext.files.tests.support.crash import fork, kill_now, was_killed
from ckanext.files.tests.support.effects import rows
from ckanext.files.tests.support.functions import give_back
from ckanext.files.tests.support.waiting import wait_for

UTC = dt.timezone.utc
LATER = dt.datetime(2100, 1, 1, tzinfo=UTC)


def run_drain() -> dict[str, str | None]:
    found = {moved.rq_id: moved.reason for moved in drain.run()}
    model.Session.rollback()
    return found


def run_to_redis() -> dict[str, str | None]:
    found = {moved.rq_id: moved.reason for moved in to_redis.run()}
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


def has_rq_2() -> bool:
    return hasattr(rq.job.Job, "execution_registry")


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


def plant_id(old: Any, rq_id: str, **options: Any) -> None:
    """Ask for a job with an id that RQ of CKAN 2.11 takes, and RQ of CKAN 2.12 refuses."""
    job = old.create_job(give_back, (1,), timeout=9, **options)
    job._id = rq_id
    old.enqueue_job(job)


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
    SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND objid = {JOBS_MOVE}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def kill_everywhere(
    move: Callable[[], Any], prepare: Callable[[], Any], then: Callable[[], Any] | None = None
) -> int:
    """Let a process that moves jobs be killed after each thing that it does; return how often.

    :param then: called after each kill; without it a second process does the rest.
    """
    for number in itertools.count(1):
        prepare()

        def move_and_die(number: int = number) -> None:
            connect_to_redis().connection_pool.disconnect()
            die_after(number)
            move()

        killed = was_killed(fork(move_and_die))
        wait_for(lambda: not rows(LOCKED))  # PostgreSQL has noticed
        (then or move)()
        if not killed:
            return number - 1
    raise AssertionError
