"""Jobs as people see them: rows, progress and history.

Read through CKAN's session, in its current transaction.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model

from . import schema
from .control import ENDED
from .job import JobFields

STATES = ("todo", "doing", *ENDED)
"""All states of a job."""

_S = schema.SCHEMA

_FROM = f"FROM {_S}.procrastinate_jobs j LEFT JOIN {_S}.files_job f ON f.job_id = j.id"

_CONDITIONS = {
    "id": "j.id = :id",
    "task_id": "f.task_id = :task_id",
    "user_id": "f.user_id = :user_id",
    "status": f"j.status = ANY(CAST(:status AS {_S}.procrastinate_job_status[]))",
    "task": "j.task_name = :task",
    "queue": "j.queue_name = :queue",
}

# first only the ids, then the rest for the page's jobs: so the pages far down are cheap, too
_SELECT = f"""
    WITH page AS MATERIALIZED (
        SELECT j.id {_FROM} {{where}} ORDER BY j.id DESC LIMIT :limit OFFSET :offset)
    SELECT j.id, f.task_id, f.user_id, j.task_name AS task,
        coalesce({_S}.files_summary(j.args), '') AS args_summary, j.queue_name AS queue,
        j.status::text AS status, j.priority, j.lock, j.queueing_lock, j.scheduled_at,
        j.attempts, j.abort_requested, j.worker_id IS NOT NULL AS running,
        j.status = 'todo' AND j.lock IS NOT NULL
            AND {_S}.files_is_locked(j.id, j.lock, j.priority) AS locked,
        coalesce(f.step, (j.status = 'succeeded')::integer) AS step, f.percent, f.text,
        f.error, f.traceback, history.*
    FROM page JOIN {_S}.procrastinate_jobs j ON j.id = page.id
    LEFT JOIN {_S}.files_job f ON f.job_id = page.id
    CROSS JOIN LATERAL (
        SELECT min(at) FILTER (WHERE type = 'deferred') AS created,
            min(at) FILTER (WHERE type = 'started') AS started,
            max(at) FILTER (
                WHERE type IN ('succeeded', 'failed', 'cancelled', 'aborted')) AS finished
        FROM {_S}.procrastinate_events WHERE job_id = page.id) history
    ORDER BY page.id DESC
"""

_ARGS = sa.text(f"SELECT args FROM {_S}.procrastinate_jobs WHERE id = :id")

# a job between two steps has its lock, too
_HOLDER = sa.text(
    f"SELECT min(id) FROM {_S}.procrastinate_jobs WHERE lock = :lock AND status = 'doing'"
)

_EVENTS = sa.text(
    f"SELECT type::text, at FROM {_S}.procrastinate_events WHERE job_id = :id ORDER BY id"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRecord(JobFields):
    """A job with its progress, its error and the times of its history."""

    args_summary: str
    """The beginning of each of the first ten, as JSON on one line; :func:`arguments` has all."""

    status: str
    abort_requested: bool
    running: bool
    """Whether a worker has it, according to the tables."""

    locked: bool
    """Whether it waits for another job with the same lock."""

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
    """One of Procrastinate's types of events."""

    at: dt.datetime


def find(job_id: int) -> JobRecord | None:
    """Return a job.

    :raises NotInstalledError: the tables are missing.
    """
    return next(iter(page({"id": job_id}, limit=1)), None)


def page(filters: dict[str, Any], limit: int, offset: int = 0) -> Sequence[JobRecord]:
    """Return jobs, the newest first.

    :param filters: any of ``id``, ``task_id``, ``user_id``, ``status`` (a list of
        states), ``task`` and ``queue``; all must match.
    :raises NotInstalledError: the tables are missing.
    """
    query = sa.text(_SELECT.format(where=_where(filters)))
    rows = _connection().execute(query, {**filters, "limit": limit, "offset": offset})
    return [_record(dict(row)) for row in rows.mappings()]


def count(filters: dict[str, Any]) -> int:
    """Return the number of jobs that all filters match, see :func:`page`."""
    query = sa.text(f"SELECT count(*) {_FROM} {_where(filters)}")
    return _connection().execute(query, filters).scalar()


def arguments(job_id: int) -> dict[str, Any]:
    """Return all arguments of a job by name; none if the job is deleted."""
    return _connection().execute(_ARGS, {"id": job_id}).scalar() or {}


def holder(lock: str) -> int | None:
    """Return the id of the job that has a lock, if one has it."""
    return _connection().execute(_HOLDER, {"lock": lock}).scalar()


def history(job_id: int) -> Sequence[Event]:
    """Return the events of a job, the first one first."""
    return [Event(type_, at) for type_, at in _connection().execute(_EVENTS, {"id": job_id})]


def _record(row: dict[str, Any]) -> JobRecord:
    if row["status"] in ("todo", "doing"):
        row["finished"] = None  # the time of an earlier end
    return JobRecord(**row)


def _where(filters: dict[str, Any]) -> str:
    conditions = " AND ".join(_CONDITIONS[name] for name in filters)
    return f"WHERE {conditions}" if conditions else ""


def _connection() -> Any:
    connection: Any = model.Session.connection()
    schema.check(connection)
    return connection
