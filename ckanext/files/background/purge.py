"""Deleting jobs that have ended long ago.

In batches, each a commit of its own, so that workers hardly notice. A job that
waits or runs is never touched, nor is one that somebody locks at the moment.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from ckan import model

from . import control, schema

ENDED = ("succeeded", "failed", "cancelled", "aborted")
"""States of a job in which no worker touches it any more."""

_BATCH = 1000

_S = schema.SCHEMA

# Pages of all jobs by their ids: however many there are, and whatever the planner believes of
# them, each is read once. The history is asked for by a query of its own for each of them, which
# the planner cannot turn into a join with the history of all. The event "scheduled" bears the time
# to which a job was put off, and that may be to come.
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


def purge(
    before: dt.datetime, states: Sequence[str] = ENDED, dry_run: bool = False
) -> Iterator[Counter[str]]:
    """Delete jobs that have ended; yield how many of which state were in each batch.

    :param before: nothing has happened to the jobs since then.
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
            control.delete(ids)
        model.Session.commit()
        yield Counter(found or ())
