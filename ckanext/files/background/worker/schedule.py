"""Deferring periodic tasks when their time has come."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import sqlalchemy as sa
from ckan import model
from procrastinate.periodic import MAX_DELAY, PeriodicDeferrer

from ..app import app
from ..periodic import Scheduled, scheduled
from ..retry import pgcodes
from ..schema import SCHEMA

log = logging.getLogger(__name__)

_ONE_AT_A_TIME = sa.text("SELECT pg_try_advisory_xact_lock(7109)")

# The worker's main thread runs this. It must not wait for a transaction that has asked for a job
# with the same queueing lock: that may take hours, and the worker would look dead.
_WAIT_FOR_NOBODY = sa.text("SET LOCAL lock_timeout = '100ms'")

_LOCKED = "55P03"
"""PostgreSQL's code for a lock that was not to be had in that time."""

# one with other times is a new one
_SEEN = sa.text(f"""
    INSERT INTO {SCHEMA}.files_schedule AS s (task_name, periodic_id, cron, timezone, since)
    VALUES (:task, :id, :cron, :timezone, :now)
    ON CONFLICT (task_name, periodic_id) DO UPDATE
    SET cron = excluded.cron, timezone = excluded.timezone, since = excluded.since
    WHERE (s.cron, s.timezone) <> (excluded.cron, excluded.timezone)
""")

_LATEST = sa.text(f"""
    SELECT greatest(since, (
        SELECT max(defer_timestamp) FROM {SCHEMA}.procrastinate_periodic_defers
        WHERE task_name = :task AND periodic_id = :id))
    FROM {SCHEMA}.files_schedule WHERE task_name = :task AND periodic_id = :id
""")


class Schedule:
    """Defers what is due, asked now and then.

    All workers ask, one at a time, and none defers what is older than what was
    deferred last, or than the schedule: a worker that was away does not know
    what the others have done, and Procrastinate keeps only the last time.
    """

    def __init__(self) -> None:
        self._last: dict[Any, int] = {}
        self._next = 0.0
        self._errors: dict[Any, str] = {}

    def defer(self) -> None:
        """Write the jobs that are due, if any are."""
        now = time.time()
        schedules = scheduled()
        if not schedules or now < self._next:
            return
        done = [self._defer(*one, now) for one in schedules.items()]
        if all(done):
            self._next = min(each.times.next(now) for each in schedules.values())

    def _defer(self, key: Any, each: Scheduled, now: float) -> bool:
        """Write the jobs of one schedule; False if it has to be tried again."""
        try:
            if not model.Session.execute(_ONE_AT_A_TIME).scalar():
                return False
            model.Session.execute(_WAIT_FOR_NOBODY)
            deferrer = PeriodicDeferrer(app.periodic_registry)
            asyncio.run(deferrer.defer_jobs([(each, at) for at in self._due(key, each, now)]))
            model.Session.commit()
        except Exception as error:
            # it is tried each second
            if not _has_to_wait(error) and self._errors.get(key) != str(error):
                log.exception("The periodic task %s %s could not be deferred", *key)
                self._errors[key] = str(error)
            return False
        finally:
            model.Session.remove()
        self._errors.pop(key, None)
        self._last[key] = int(now)
        return True

    def _due(self, key: Any, each: Scheduled, now: float) -> list[int]:
        """Return the times since this worker has asked last, or the last one at first."""
        names = {"task": each.task.name, "id": each.periodic_id}
        asked = self._last.get(key)
        if asked is None:
            times = {"cron": each.cron, "timezone": each.times.timezone, "now": int(now)}
            model.Session.execute(_SEEN, {**names, **times})
        found = list(each.times.between(max(asked or 0, int(now - MAX_DELAY)), now))
        latest = model.Session.execute(_LATEST, names).scalar_one()
        return [at for at in (found if asked else found[-1:]) if at > latest]


def _has_to_wait(error: Exception) -> bool:
    """Tell whether a transaction that is open has asked for a job with the same queueing lock."""
    return any(code == _LOCKED for code in pgcodes(error))
