"""Deferring the jobs of periodic tasks that are due."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from ckan import model
from procrastinate.periodic import MAX_DELAY, PeriodicDeferrer

from ckanext.files import advisory_locks

from ..app import app
from ..periodic import Scheduled, scheduled
from ..retry import pgcodes
from ..sql import query

log = logging.getLogger(__name__)

_KEY = {"key": advisory_locks.SCHEDULES}

_LOCKED = "55P03"
"""PostgreSQL's code for a lock that was not free in that time."""


class Schedule:
    """Defers the jobs of all schedules that are due.

    All workers do so, one at a time. None defers a job for a time before the last
    deferred one, or before the schedule existed: a worker that was frozen does not
    know what the others have deferred, and Procrastinate keeps only the last time.
    """

    def __init__(self) -> None:
        self._last: dict[Any, int] = {}
        self._next = 0.0
        self._errors: dict[Any, str] = {}

    def defer(self) -> None:
        """Write the jobs that are due. The worker calls this each second."""
        now = time.time()
        schedules = scheduled()
        if not schedules or now < self._next:
            return
        done = [self._defer(*one, now) for one in schedules.items()]
        if all(done):
            self._next = min(each.times.next(now) for each in schedules.values())

    def _defer(self, key: Any, each: Scheduled, now: float) -> bool:
        """Write the jobs of one schedule; return False if it has to be tried again."""
        try:
            if not model.Session.execute(query("lock_schedules"), _KEY).scalar():
                return False
            model.Session.execute(query("wait_briefly"))
            deferrer = PeriodicDeferrer(app.periodic_registry)
            asyncio.run(deferrer.defer_jobs([(each, at) for at in self._due(key, each, now)]))
            model.Session.commit()
        except Exception as error:
            # not once a second
            if not _is_locked(error) and self._errors.get(key) != str(error):
                log.exception("The periodic task %s %s could not be deferred", *key)
                self._errors[key] = str(error)
            return False
        finally:
            model.Session.remove()
        self._errors.pop(key, None)
        self._last[key] = int(now)
        return True

    def _due(self, key: Any, each: Scheduled, now: float) -> list[int]:
        """Return the times since the last call; at the first call the latest one."""
        names = {"task": each.task.name, "id": each.periodic_id}
        since = self._last.get(key)
        if since is None:
            times = {"cron": each.cron, "timezone": each.times.timezone, "now": int(now)}
            model.Session.execute(query("register_schedule"), {**names, **times})
        found = list(each.times.between(max(since or 0, int(now - MAX_DELAY)), now))
        latest = model.Session.execute(query("last_deferred"), names).scalar_one()
        return [at for at in (found if since else found[-1:]) if at > latest]


def _is_locked(error: Exception) -> bool:
    """Return whether an open transaction has written a job with the same queueing lock."""
    return any(code == _LOCKED for code in pgcodes(error))
