"""Jobs as people see them: rows, progress and history.

Read through CKAN's session, in its current transaction.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from . import rq_ids, schema
from .control import ENDED, LIVE
from .job import JobFields
from .parts import Parts, read_parts, title_of
from .search import Search
from .sql import query

STATES = (*LIVE, *ENDED)
"""All states of a job."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRecord(JobFields):
    """A job with its progress, its error and the times of its history."""

    title: str
    """What lists call it: the title that the caller gave, or the task, or the parts of a chain,
    such as ``load → publish``."""

    parts: Parts | None
    """The parts of a chain."""

    args_summary: str
    """The beginning of each of the first ten, as JSON on one line; :func:`arguments` has all."""

    rq_id: str | None
    """The id that ``toolkit.enqueue_job`` gave it; None for jobs of tasks.

    These tables show no arguments of a job that has one.
    """

    status: str
    abort_requested: bool
    running: bool
    """Whether a worker has it, according to the tables."""

    locked: bool
    """Whether it waits for another job with the same lock."""

    dependent: bool
    """Whether it waits for the end of other jobs, as RQ's ``depends_on`` has it."""

    paused: bool
    """Whether it waits, and its queue is paused."""

    percent: float | None
    text: str | None
    error: str | None
    """The last error, without its traceback."""

    traceback: str | None
    created: dt.datetime | None
    started: dt.datetime | None
    finished: dt.datetime | None
    """When it ended; None as long as it waits or runs, also for another time."""


@dataclasses.dataclass(frozen=True)
class Event:
    """An event in the history of a job."""

    type: str
    """One of Procrastinate's types of events without ``scheduled``, which is the :attr:`due` of
    another one.

    Or ``interrupted``: a step was lost with its worker, or undone by the database, and runs again.
    """

    at: dt.datetime
    due: dt.datetime | None
    """For which time the event has put the job off."""


@dataclasses.dataclass(frozen=True)
class Dependency:
    """A job for which another one waits."""

    rq_id: str
    job_id: int | None
    """None if the job is deleted."""

    status: str | None


def find(job_id: int | str) -> JobRecord | None:
    """Return a job.

    :param job_id: its number; or a text, the id that ``toolkit.enqueue_job`` gave it, which names
        the newest job that has or had it.
    :raises NotInstalledError: the tables are missing.
    """
    number = rq_ids.find(job_id) if isinstance(job_id, str) else job_id
    return next(iter(read([number])), None) if number else None


def page(
    filters: Mapping[str, Any], limit: int, offset: int = 0, before: int | None = None
) -> tuple[Sequence[JobRecord], int | None]:
    """Return jobs, the newest first, and the id before which older ones may be found.

    :param filters: see :class:`~ckanext.files.background.search.Search`.
    :param before: only older jobs than the one with this id.
    :raises NotInstalledError: the tables are missing.
    """
    found = Search(filters).find(limit, offset, before)
    return read(found.ids), found.next


def read(job_ids: Sequence[int]) -> Sequence[JobRecord]:
    """Return jobs by their ids, the newest first; those that exist."""
    rows = schema.connection().execute(query("jobs_by_ids"), {"ids": list(job_ids)})
    return [_record(dict(row)) for row in rows.mappings()]


def runs(task: str) -> bool:
    """Return whether a job of a task has begun and not ended."""
    return schema.connection().execute(query("task_runs"), {"task": task}).scalar()


def arguments(job_id: int) -> dict[str, Any]:
    """Return all arguments of a job by name; none if the job is deleted."""
    return schema.connection().execute(query("job_arguments"), {"id": job_id}).scalar() or {}


def holder(lock: str) -> int | None:
    """Return the id of the job that has a lock, if one has it."""
    return schema.connection().execute(query("job_with_lock"), {"lock": lock}).scalar()


def dependencies(job_id: int) -> Sequence[Dependency]:
    """Return the jobs for which a job waits."""
    rows = schema.connection().execute(query("job_dependencies"), {"id": job_id})
    return [Dependency(**row) for row in rows.mappings()]


def history(job_id: int) -> Sequence[Event]:
    """Return the events of a job, the first one first."""
    rows = schema.connection().execute(query("job_events"), {"id": job_id})
    return [Event(**row) for row in rows.mappings()]


def _record(row: dict[str, Any]) -> JobRecord:
    if row["status"] in LIVE:
        row["finished"] = None  # the time of an earlier end
    row["parts"] = read_parts(row["parts"])
    row["title"] = title_of(row["task"], row["parts"], row["title"])
    return JobRecord(**row)
