"""Deferring periodic tasks when their time has come."""

from __future__ import annotations

import asyncio
import logging
import time

from ckan import model
from procrastinate.periodic import PeriodicDeferrer

from ..app import app

log = logging.getLogger(__name__)


class Schedule:
    """Procrastinate's deferrer, asked now and then.

    All workers ask; the database sees to it that each time is deferred once.
    """

    def __init__(self) -> None:
        self._deferrer = PeriodicDeferrer(app.periodic_registry)
        self._next = 0.0

    def defer(self) -> None:
        """Write the jobs that are due, if any are."""
        now = time.time()
        if not app.periodic_registry.periodic_tasks or now < self._next:
            return
        try:
            asyncio.run(self._deferrer.defer_jobs(self._deferrer.get_previous_tasks(at=now)))
            model.Session.commit()
            self._next = now + self._deferrer.get_next_tick(at=now)
        except Exception:
            log.exception("Periodic tasks could not be deferred; they are tried again")
            self.__init__()
        finally:
            model.Session.remove()
