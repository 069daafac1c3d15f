"""Ending jobs, running them again, and deleting them.

In the current transaction of CKAN's session, :func:`purge` in several. Each
statement comes before or after what a worker does with the job at the same moment.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ckan import model

from . import schema
from .sql import query

LIVE = ("todo", "doing")
"""States of a job that waits or runs."""

ENDED = ("succeeded", "failed", "cancelled", "aborted")
"""States of a job that no worker changes any more."""

_BATCH = 1000
"""Jobs that one transaction of :func:`purge` looks at."""


def cancel(job_id: int, now: bool = False) -> str | None:
    """End a job; return its state after that, None if it has ended already.

    A job that waits becomes ``cancelled``, one between two steps ``aborted``. One
    that runs stays ``doing``: it ends after its present step, or earlier if its
    task looks at :meth:`JobContext.should_abort`. If the present step is the last
    one, the job succeeds.

    :param now: interrupt and undo the present step, as a timeout does.
    """
    return cancel_many([job_id], now).get(job_id)


def cancel_many(job_ids: Sequence[int], now: bool = False) -> dict[int, str]:
    """End jobs as :func:`cancel` does; return the states of those that had not ended."""
    connection = _locking(job_ids)
    states = dict(connection.execute(query("cancel_jobs"), {"ids": list(job_ids)}).all())
    aborted = [job_id for job_id, state in states.items() if state == "aborted"]
    if aborted:
        connection.execute(query("leave_resume_order"), {"ids": aborted})
    doing = [job_id for job_id, state in states.items() if state == "doing"]
    if doing and now:
        connection.execute(query("interrupt_jobs"), {"ids": doing})
    return states


def retry(job_id: int) -> bool:
    """Run a job again that failed, was cancelled or aborted, from its last finished step.

    It runs as soon as a worker is free, even if it was put off. Its error is kept
    until a step succeeds.

    :returns: False if the job is in none of these states.
    """
    return bool(retry_many([job_id]))


def retry_many(job_ids: Sequence[int]) -> int:
    """Run jobs again as :func:`retry` does; return how many."""
    connection = _locking(job_ids)
    return len(connection.execute(query("retry_jobs"), {"ids": list(job_ids)}).all())


def delete(job_ids: list[int]) -> int:
    """Delete jobs that have ended; return how many."""
    return schema.connection().execute(query("delete_jobs"), {"ids": job_ids}).rowcount


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
    old_jobs = query("old_jobs", lock="" if dry_run else "FOR UPDATE OF j SKIP LOCKED")
    values: dict[str, Any] = {"size": _BATCH, "before": before, "states": list(states)}
    after: int | None = 0
    while after is not None:
        row: Any = model.Session.execute(old_jobs, {**values, "after": after}).one()
        after, ids, found = row
        if ids and not dry_run:
            delete(ids)
        model.Session.commit()
        yield Counter(found or ())


def _locking(job_ids: Sequence[int]) -> Any:
    connection = schema.connection()
    if len(job_ids) > 1:
        connection.execute(query("lock_jobs"), {"ids": list(job_ids)})
    return connection
