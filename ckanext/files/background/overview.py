"""Workers, queues and schedules as they are at the moment, for operators.

Read on a connection of the caller.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Sequence
from typing import Any

from ckanext.files import advisory_locks

from .call import all_tasks
from .cron import Cron
from .periodic import scheduled
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
    """``id`` and ``task`` of the jobs that it has."""

    def serves(self, queue: str) -> bool:
        """Return whether the worker is alive and runs jobs of a queue."""
        return self.state == "alive" and (not self.queues or queue in self.queues)


@dataclasses.dataclass(frozen=True)
class QueueState:
    """A queue that has jobs, or is paused."""

    queue: str
    jobs: dict[str, int]
    """The number of jobs in each state."""

    due: int
    """The number of jobs that could run now and have no worker that is alive."""

    served: bool
    """Whether a worker that is alive runs its jobs."""

    paused: dt.datetime | None
    """Since when it is paused; None if it is not."""

    @property
    def is_stuck(self) -> bool:
        """Whether jobs wait, no worker runs them, and this is not because the queue is paused."""
        return bool(self.due) and not self.served and not self.paused


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
        connected = values.pop("connected")
        silent = "silent" if values["silence"] > frozen_after else "alive"
        found.append(WorkerState(state=silent if connected else "dead", **values))
    return found


def queues(connection: Any, known: Sequence[WorkerState]) -> list[QueueState]:
    """Return the queues that have jobs, and those that are paused.

    :param known: all workers.
    """
    jobs: dict[str, dict[str, int]] = {}
    for queue, state, count in connection.execute(query("jobs_by_queue")):
        jobs.setdefault(queue, {})[state] = count
    paused = {row.queue: row.since for row in connection.execute(query("paused_queues"))}
    for queue in paused:
        jobs.setdefault(queue, {})
    working = [worker.id for worker in known if worker.state == "alive"]
    due = dict(connection.execute(query("due_jobs_by_queue"), {"working": working}).all())
    return [
        QueueState(
            queue,
            counts,
            due=due.get(queue, 0),
            served=any(worker.serves(queue) for worker in known),
            paused=paused.get(queue),
        )
        for queue, counts in jobs.items()
    ]


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


def is_used(connection: Any, queue: str) -> bool:
    """Return whether there is a job of a queue, or a task or a schedule that names it."""
    has_jobs = query("queue_has_jobs")
    return queue in named_queues() or connection.execute(has_jobs, {"queue": queue}).scalar()


def named_queues() -> set[str]:
    """Return the queues that tasks and schedules of this process name."""
    named = {task.options["queue"] for task in all_tasks()}
    return named | {str(each.configure_kwargs.get("queue")) for each in scheduled().values()}
