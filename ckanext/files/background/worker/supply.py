"""The supply of jobs to slots, which goes on through failures of the database."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError as SessionOperationalError

from ..job import ClaimedJob
from .execution import Execution
from .options import WorkerOptions
from .queries import WorkerQueries

log = logging.getLogger(__name__)

T = TypeVar("T")

LOST = (OperationalError, InterfaceError, SessionOperationalError)
"""Errors by which a thread notices that the database cannot be reached."""

RETRY_PAUSE = 0.5
"""Seconds between attempts to reach the database."""


class WakeSignal:
    """Wakes slots that have found no job; one that begins to wait too late misses no signal."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self.waiting = 0

    def before_look(self) -> int:
        """Return the value for :meth:`wait`; to be called before a slot looks for a job."""
        return self._count

    def wait(self, seen: int) -> None:
        """Wait for a signal, unless one came since :meth:`before_look`."""
        with self._condition:
            self.waiting += 1
            self._condition.wait_for(lambda: self._count != seen)
            self.waiting -= 1

    def send(self) -> None:
        """Wake one waiting slot."""
        with self._condition:
            self._count += 1
            self._condition.notify()

    def send_to_all(self) -> None:
        """Wake all waiting slots."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()


class Outage:
    """Logs when an outage of the database begins and ends, however many threads notice it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None

    def notice(self, error: Exception) -> None:
        """Log that the database cannot be reached, unless this is logged already."""
        with self._lock:
            if self._began is None:
                self._began = time.monotonic()
                log.warning(
                    "The worker has lost the database, and tries to reach it again: %s",
                    first_line(error),
                )

    def end(self) -> None:
        """Log that the database can be reached again, if there was an outage."""
        with self._lock:
            if self._began is not None:
                seconds = time.monotonic() - self._began
                log.info("The database can be reached again, after %.1f seconds", seconds)
                self._began = None


class JobSupply:
    """Gives jobs to slots until the worker stops, and takes back jobs that must run again.

    :param on_stop: called by :meth:`stop`, which may run in a signal handler.
    """

    def __init__(
        self, queries: WorkerQueries, options: WorkerOptions, on_stop: Callable[[], None]
    ) -> None:
        self.queries = queries
        self.options = options
        self.wake_signal = WakeSignal()
        self.outage = Outage()
        self.stopping = False
        self.begun = 0
        """Steps that have begun."""

        self._on_stop = on_stop

    def stop(self) -> None:
        """Give out no more jobs."""
        self.stopping = True
        self._on_stop()

    @property
    def used_up(self) -> bool:
        """Whether the process is to be replaced by a new one before the next job."""
        return 0 < self.options.max_jobs <= self.begun

    def next_job(self) -> ClaimedJob | None:
        """Wait for a job and claim it; return None when the worker stops."""
        while not self.stopping:
            if self.used_up:
                self.stop()
                break
            seen = self.wake_signal.before_look()
            try:
                # in this order: a step may write a new job before it ends, and so may a rescue
                idle = not (
                    self.options.wait or self.queries.rescue_pending or self.queries.owned()
                )
                job = self.queries.claim(self.options.queues)
                if idle and job is None and self.queries.look_after_rq_jobs():
                    continue
            except LOST as error:
                self.outage.notice(error)
                time.sleep(RETRY_PAUSE)
                continue
            if job is not None:
                return job
            if idle:
                self.stop()
                break
            self.wake_signal.wait(seen)
        return None

    def release(self, execution: Execution) -> None:
        """Give a job to any worker again, after the database has undone its step."""
        # PostgreSQL may not have noticed a lost connection: its session still holds locks
        self.queries.end_sessions(execution.backend_pids)
        job = execution.job
        self.queries.release(job.id, job.attempts, self.options.most_rescues)
        self.wake_signal.send()

    def write(self, statement: Callable[[], T]) -> T:
        """Run a statement, again and again until the database can be reached; return its result."""
        warned = False
        while True:
            try:
                return statement()
            except LockNotAvailable as error:
                if not warned:
                    log.warning("The end of a step cannot be written yet: %s", first_line(error))
                warned = True
            except LOST as error:
                self.outage.notice(error)
            time.sleep(RETRY_PAUSE)


def first_line(error: BaseException) -> str:
    """Return the message of an error, without the lines that the driver adds."""
    return next(iter(str(error).splitlines()), type(error).__name__)
