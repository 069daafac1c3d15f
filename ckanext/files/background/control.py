"""Ending jobs, and beginning them again.

In the present transaction of CKAN's session. Whatever a worker does at the
same moment comes before or after it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan import model

from . import schema

_S = schema.SCHEMA

# the fence of workers: whoever takes a job away adds one to attempts
_CANCEL = sa.text(f"""
    UPDATE {_S}.procrastinate_jobs SET
        status = CASE
            WHEN status = 'todo' THEN 'cancelled'
            WHEN worker_id IS NULL THEN 'aborted'
            ELSE status END::{_S}.procrastinate_job_status,
        attempts = attempts + CASE WHEN status = 'doing' AND worker_id IS NULL THEN 1 ELSE 0 END,
        abort_requested = status = 'doing' AND worker_id IS NOT NULL
    WHERE id = :id AND status IN ('todo', 'doing') RETURNING status::text
""")

# a statement of its own, which sees what a worker has committed while the other one waited for it
_LEAVE_LINE = sa.text(f"UPDATE {_S}.files_job SET turn = NULL WHERE job_id = :id")

_INTERRUPT = sa.text(f"""
    INSERT INTO {_S}.files_job (job_id, interrupt) VALUES (:id, true)
    ON CONFLICT (job_id) DO UPDATE SET interrupt = true
""")

# of Procrastinate's triggers, that of events knows only failed jobs, that of new jobs none of these
_RETRY = sa.text(f"""
    WITH ended AS (
        SELECT id, queue_name, status FROM {_S}.procrastinate_jobs
        WHERE id = :id AND status IN ('failed', 'cancelled', 'aborted') FOR NO KEY UPDATE
    ), noted AS (
        UPDATE {_S}.files_job
        SET retries = 0, outages = 0, rescues = 0, turn = NULL, interrupt = false
        WHERE job_id IN (SELECT id FROM ended)
    ), told AS (
        INSERT INTO {_S}.procrastinate_events (job_id, type)
        SELECT id, 'retried' FROM ended WHERE status <> 'failed'
    ), payload AS (
        SELECT id, queue_name,
            json_build_object('type', 'job_inserted', 'job_id', id)::text AS text FROM ended
    )
    SELECT {_S}.files_let_wait(id, NULL, NULL),
        pg_notify('procrastinate_any_queue_v1', text),
        pg_notify('procrastinate_queue_v1#' || queue_name, text)
    FROM payload
""")

_DELETE = sa.text(f"""
    DELETE FROM {_S}.procrastinate_jobs WHERE id = ANY (:ids)
      AND status IN ('succeeded', 'failed', 'cancelled', 'aborted')
""")


def cancel(job_id: int, now: bool = False) -> str | None:
    """End a job; return its state after that, None if it has ended already.

    One that waits is ``cancelled``, one between two steps ``aborted``. One that
    runs stays ``doing``: it ends with its present step, unless that finishes it,
    or earlier if its task asks for :meth:`JobContext.should_abort`.

    :param now: have the present step interrupted and undone, as a timeout does.
    """
    connection = _connection()
    status = connection.execute(_CANCEL, {"id": job_id}).scalar()
    if status == "aborted":
        connection.execute(_LEAVE_LINE, {"id": job_id})
    if status == "doing" and now:
        connection.execute(_INTERRUPT, {"id": job_id})
    return status


def retry(job_id: int) -> bool:
    """Have a job that failed, was cancelled or aborted run again, from its last finished step.

    It runs as soon as a worker is free, also if it was put off. What went wrong is kept until
    a step goes well.

    :returns: False if it is none of these.
    """
    return _connection().execute(_RETRY, {"id": job_id}).first() is not None


def delete(job_ids: list[int]) -> int:
    """Delete jobs that have ended; return how many."""
    return _connection().execute(_DELETE, {"ids": job_ids}).rowcount


def _connection() -> Any:
    connection: Any = model.Session.connection()
    schema.check(connection)
    return connection
