"""Ending jobs, running them again, and deleting them.

In the current transaction of CKAN's session, :func:`purge` in several. Each
statement comes before or after what a worker does with the job at the same moment.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model

from . import schema

ENDED = ("succeeded", "failed", "cancelled", "aborted")
"""States of a job that no worker changes any more."""

_BATCH = 1000
"""Jobs that one transaction of :func:`purge` looks at."""

_S = schema.SCHEMA

# the fence of workers: each statement that takes a job from a worker adds one to attempts
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

# a statement of its own: it sees what a worker has committed while _CANCEL waited for its lock
_LEAVE_LINE = sa.text(f"UPDATE {_S}.files_job SET turn = NULL WHERE job_id = :id")

_INTERRUPT = sa.text(f"""
    INSERT INTO {_S}.files_job (job_id, interrupt) VALUES (:id, true)
    ON CONFLICT (job_id) DO UPDATE SET interrupt = true
""")

# Procrastinate's trigger for events knows only failed jobs, and the one for new jobs none of these
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

# Pages of all jobs by their ids: each job is read once, whatever the planner's statistics are.
# A subquery for each job reads its history: the planner cannot turn that into a join with the
# history of all jobs. The event "scheduled" has the time to which a job was put off, which may
# be in the future.
_PAGE = f"""
    WITH page AS MATERIALIZED (
        SELECT id FROM {_S}.procrastinate_jobs WHERE id > :after ORDER BY id LIMIT :size
    ), old AS (
        SELECT j.id, j.status::text AS status FROM {_S}.procrastinate_jobs j
        WHERE j.id IN (SELECT id FROM page)
          AND j.status = ANY(CAST(:states AS {_S}.procrastinate_job_status[]))
          AND (SELECT max(at) FROM {_S}.procrastinate_events
               WHERE job_id = j.id AND type <> 'scheduled') < :before
        {{lock}}
    )
    SELECT (SELECT max(id) FROM page), array_agg(id), array_agg(status) FROM old
"""


def cancel(job_id: int, now: bool = False) -> str | None:
    """End a job; return its state after that, None if it has ended already.

    A job that waits becomes ``cancelled``, one between two steps ``aborted``. One
    that runs stays ``doing``: it ends after its present step, or earlier if its
    task looks at :meth:`JobContext.should_abort`. If the present step is the last
    one, the job succeeds.

    :param now: interrupt and undo the present step, as a timeout does.
    """
    connection = _connection()
    status = connection.execute(_CANCEL, {"id": job_id}).scalar()
    if status == "aborted":
        connection.execute(_LEAVE_LINE, {"id": job_id})
    if status == "doing" and now:
        connection.execute(_INTERRUPT, {"id": job_id})
    return status


def retry(job_id: int) -> bool:
    """Run a job again that failed, was cancelled or aborted, from its last finished step.

    It runs as soon as a worker is free, even if it was put off. Its error is kept
    until a step succeeds.

    :returns: False if the job is in none of these states.
    """
    return _connection().execute(_RETRY, {"id": job_id}).first() is not None


def delete(job_ids: list[int]) -> int:
    """Delete jobs that have ended; return how many."""
    return _connection().execute(_DELETE, {"ids": job_ids}).rowcount


def purge(
    before: dt.datetime, states: Sequence[str] = ENDED, dry_run: bool = False
) -> Iterator[Counter[str]]:
    """Delete jobs that ended long ago; yield for each batch how many it deleted of which state.

    Each batch is a commit of its own, so that workers hardly notice. Jobs that wait
    or run stay, and so does a job that another transaction has locked.

    :param before: jobs with an event at that time or later stay.
    :param states: of :data:`ENDED`.
    :param dry_run: only count them.
    :raises NotInstalledError: the tables are missing.
    """
    schema.check(model.Session.connection())
    query = sa.text(_PAGE.format(lock="" if dry_run else "FOR UPDATE OF j SKIP LOCKED"))
    values: dict[str, Any] = {"size": _BATCH, "before": before, "states": list(states)}
    after: int | None = 0
    while after is not None:
        row: Any = model.Session.execute(query, {**values, "after": after}).one()
        after, ids, found = row
        if ids and not dry_run:
            delete(ids)
        model.Session.commit()
        yield Counter(found or ())


def _connection() -> Any:
    connection: Any = model.Session.connection()
    schema.check(connection)
    return connection
