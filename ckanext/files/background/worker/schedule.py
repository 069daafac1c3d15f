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
from ..schema import SCHEMA

log = logging.getLogger(__name__)

_ONE_AT_A_TIME = sa.text("SELECT pg_try_advisory_xact_lock(7109)")

_LATEST = sa.text(f"""
    SELECT max(defer_timestamp) FROM {SCHEMA}.procrastinate_periodic_defers
    WHERE task_name = :task AND periodic_id = :id
""")


class Schedule:
    """Procrastinate's deferrer, asked now and then.

    All workers ask, one at a time, and none defers what is older than what was
    deferred last: a worker that was away does not know what the others have
    done, and Procrastinate keeps only the last time.
    """

    def __init__(self) -> None:
        self._last: dict[Any, int] = {}
        self._next = 0.0
        self._errors: dict[Any, str] = {}

    def defer(self) -> None:
        """Write the jobs that are due, if any are."""
        now = time.time()
        registry = app.periodic_registry
        if not registry.periodic_tasks or now < self._next:
            return
        done = [self._defer(*one, now) for one in list(registry.periodic_tasks.items())]
        if all(done):
            self._next = now + PeriodicDeferrer(registry).get_next_tick(at=now)

    def _defer(self, key: Any, scheduled: Any, now: float) -> bool:
        """Write the jobs of one schedule; False if it has to be tried again."""
        try:
            if not model.Session.execute(_ONE_AT_A_TIME).scalar():
                return False
            names = {"task": scheduled.task.name, "id": scheduled.periodic_id}
            latest = model.Session.execute(_LATEST, names).scalar() or 0
            deferrer = PeriodicDeferrer(app.periodic_registry)
            # the times since this worker has asked last, or the last one at first
            since = self._last.get(key)
            since = since and max(since, int(now - MAX_DELAY))
            times = deferrer.get_timestamps(scheduled, since, now)
            asyncio.run(deferrer.defer_jobs([(scheduled, at) for at in times if at > latest]))
            model.Session.commit()
        except Exception as error:
            if self._errors.get(key) != str(error):  # it is tried each second
                log.exception("The periodic task %s %s could not be deferred", *key)
            self._errors[key] = str(error)
            return False
        finally:
            model.Session.remove()
        self._errors.pop(key, None)
        self._last[key] = int(now)
        return True
