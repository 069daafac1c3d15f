"""Workers, queues and schedules as they are at the moment, for operators.

Read on a connection of the caller; :func:`unknown_queues` has one of its own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ckan import model

from ckanext.files import advisory_locks
from ckanext.files.hint import with_hint

from . import counts, queue_names, schema
from .cron import Cron
from .parts import read_parts, title_of
from .periodic import scheduled
from .queues import paused as paused_queues
from .search import MOST
from .sql import query


@dataclasses.dataclass(frozen=True)
class WorkerState:
    """A worker. A field that the worker has not written is None."""

    id: int
    state: str
    """``alive``, ``dead``, or ``silent``: connected, but without a sign of life."""

    host: str | None
    pid: int | None
    queues: list[str] | None
    """The queues whose jobs it runs; empty for all."""

    concurrency: int | None
    since: dt.datetime | None
    silence: float
    """Seconds since its last sign of life."""

    running: list[dict[str, Any]]
    """``id``, ``task`` and ``title`` of the jobs that it has; see
    :class:`~ckanext.files.background.record.JobRecord`."""

    def serves(self, queue: str) -> bool:
        """Return whether the worker is alive and runs jobs of a queue."""
        return self.state == "alive" and (not self.queues or queue in self.queues)


@dataclasses.dataclass(frozen=True)
class QueueState(counts.QueueCounts):
    """A queue that has jobs, or is paused."""

    paused: dt.datetime | None
    """Since when it is paused; None if it is not."""

    due: int
    """The number of jobs that could run now and have no worker that is alive, up to the limit."""

    served: bool
    """Whether a worker that is alive runs its jobs."""

    is_stuck: bool
    """Whether jobs could run, no worker runs them, and this is not because the queue is paused."""


@dataclasses.dataclass(frozen=True)
class ScheduleState:
    """A schedule of this process, and so of each worker with the same configuration."""

    task: str
    periodic_id: str
    cron: str
    timezone: str
    next: dt.datetime
    """Its next time, in that time zone."""

    last: dt.datetime | None = None
    """The last time for which a job was asked, in that time zone; None if there was none."""

    job: int | None = None
    """That job, unless it is deleted."""


def workers(connection: Any, frozen_after: float) -> list[WorkerState]:
    """Return all workers that have a row, also dead ones.

    :param frozen_after: see :class:`~ckanext.files.background.worker.WorkerOptions`.
    """
    found = []
    for row in connection.execute(query("workers"), {"key": advisory_locks.WORKER}).mappings():
        values = dict(row)
        values["running"] = [_running(job) for job in values["running"]]
        connected = values.pop("connected")
        silent = "silent" if values["silence"] > frozen_after else "alive"
        found.append(WorkerState(state=silent if connected else "dead", **values))
    return found


def _running(job: dict[str, Any]) -> dict[str, Any]:
    title = title_of(job["task"], read_parts(job["parts"]), job["title"])
    return {"id": job["id"], "task": job["task"], "title": title}


def queues(
    connection: Any,
    known: Sequence[WorkerState] | None,
    user_id: str | None = None,
    most: int = MOST,
) -> list[QueueState]:
    """Return the queues that have jobs, and those that are paused, by their names.

    :param known: all workers; None for a caller who does not ask which jobs could run.
    :param user_id: only queues of this user's jobs, with the numbers of these.
    :param most: see :func:`.counts.by_queue`.
    """
    found = {each.queue: each for each in counts.by_queue(connection, user_id, most)}
    paused = paused_queues(connection)
    names = found.keys() | (paused if user_id is None else {})
    working = [each.id for each in known or () if each.state == "alive"]
    due = {} if known is None else counts.due(connection, working, most)
    return [
        _queue_state(
            found.get(queue) or counts.QueueCounts(queue, {}, []),
            paused[queue].since if queue in paused else None,
            due.get(queue, 0),
            served=any(worker.serves(queue) for worker in known or ()),
        )
        for queue in sorted(names)
    ]


def _queue_state(
    counted: counts.QueueCounts, paused: dt.datetime | None, due: int, served: bool
) -> QueueState:
    is_stuck = due > 0 and not served and paused is None
    return QueueState(**vars(counted), paused=paused, due=due, served=served, is_stuck=is_stuck)


def schedules(connection: Any) -> list[ScheduleState]:
    """Return all schedules, the next one first."""
    found = [_schedule(connection, *key, each.times) for key, each in scheduled().items()]
    return sorted(found, key=lambda each: each.next)


def _schedule(connection: Any, task: str, periodic_id: str, times: Cron) -> ScheduleState:
    key = {"task": task, "id": periodic_id}
    last = connection.execute(query("last_of_schedule"), key).first()
    return ScheduleState(
        task,
        periodic_id,
        times.expression,
        times.timezone,
        next=times.local(times.next(time.time())),
        last=times.local(last.defer_timestamp) if last else None,
        job=last.job_id if last else None,
    )


def unknown_queues(names: Iterable[str]) -> list[str]:
    """Return a sentence about each queue that is not known, on a connection of its own.

    :raises NotInstalledError: the tables are missing.
    """
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        known = known_queues(connection)
    sentence = "Queue {} has no jobs, and no task or schedule names it."
    return [with_hint(sentence.format(name), name, known) for name in names if name not in known]


def known_queues(connection: Any) -> set[str]:
    """Return the queues that have jobs or are paused, and those that code names.

    Without a look at the jobs.
    """
    return queue_names.in_code() | set(connection.execute(query("used_queues")).scalars())
