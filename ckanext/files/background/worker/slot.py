"""A slot of a worker: a thread that runs one step after the other."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ckan import model
from psycopg2 import DataError

from ckanext.files.errors import CommitUnknownError

from ..call import find_task, is_known
from ..context import JobContext
from ..errors import JobAborted, LostJobError, StepTimeout
from ..job import ClaimedJob
from ..retry import Failure, classify_failure, pgcodes
from ..step import perform
from .deadline import Interruptible
from .outage import first_line

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger(__name__)

_CLASHES = ("40001", "40P01")
"""PostgreSQL's codes for transactions of which one had to give up."""

_MOST_IN_A_ROW = 32
"""Claims within a step's commit, before jobs with a lock are looked at, too."""


@dataclasses.dataclass
class Running:
    """The step that a slot runs."""

    claim: ClaimedJob
    context: JobContext
    timeout: float
    began: float = dataclasses.field(default_factory=time.monotonic)
    published: tuple[float | None, str | None] = (None, None)
    aborted: bool = False
    pids: set[int] = dataclasses.field(default_factory=set)
    """The server's processes that serve the step's connections."""

    again: bool = False
    """The step has lost its connection, or got none: it is to run again, whatever its error is."""

    clashed: bool = False
    """PostgreSQL has undone the step, as it and others waited for each other: likewise."""

    cancelled: float | None = None
    """When it was to end at once, by the monotonic clock."""

    committed: bool = False
    """The step is done, and its callbacks of ``on_commit`` run."""

    interruptible: Interruptible = dataclasses.field(default_factory=Interruptible)

    @property
    def deadline(self) -> float | None:
        """When it has taken too long, or is to end at once, by the monotonic clock."""
        if self.cancelled is not None:
            return self.cancelled
        return self.began + self.timeout if self.timeout else None

    def end_at_once(self) -> None:
        """Have it interrupted, as if it had taken too long."""
        if self.cancelled is None:
            self.cancelled = time.monotonic()

    def overdue(self, more: str = "") -> JobAborted | StepTimeout:
        """Return why it was interrupted.

        :param more: the rest of the sentence.
        """
        if self.cancelled is not None:
            return JobAborted(f"The job was cancelled while the step ran{more}")
        return StepTimeout(f"The step took longer than {self.timeout:g} seconds{more}")

    def next_look(self, now: float, grace: float) -> float | None:
        """When to look whether it has taken too long, or too long to end after that."""
        if self.deadline is None or now < self.deadline:
            return self.deadline
        return self.deadline + grace


class Slot(threading.Thread):
    """Claims jobs and runs steps until the worker stops."""

    def __init__(self, worker: Worker, number: int) -> None:
        super().__init__(name=f"slot-{number}", daemon=True)
        self._worker = worker
        self._in_a_row = 0
        self.worker_id = worker.queries.worker_id
        self.running: Running | None = None
        self.given_up = False
        """The worker does not wait for this thread any more."""

    def run(self) -> None:
        claim = self._worker.obtain()
        while claim is not None and not self.given_up:
            claim = self._run_step(claim)
            if claim is None and not self.given_up:
                self._in_a_row = 0
                claim = self._worker.obtain()

    def next_queues(self) -> tuple[bool, list[str] | None]:
        """As :class:`~ckanext.files.background.step.StepOwner` says."""
        self._in_a_row += 1
        claims = self._in_a_row < _MOST_IN_A_ROW and not self._worker.stopping
        return claims, list(self._worker.options.queues) or None

    def committed(self) -> None:
        """As :class:`~ckanext.files.background.step.StepOwner` says."""
        assert self.running
        self.running.committed = True

    def _run_step(self, claim: ClaimedJob) -> ClaimedJob | None:
        running = Running(claim, claim.context(lambda: running.aborted), self._timeout(claim))
        self.running = running
        try:
            with self._worker.request_context(), _own_session():
                within = running.interruptible.within()
                ended = perform(claim, running.context, self, within)
            log.debug("Job %s: %s %s", claim.id, claim.call, ended.outcome)
            return ended.next
        except LostJobError as error:
            log.warning("%s", error)
        except BaseException as error:
            self._failed(running, error)
        finally:
            self.running = None
            if claim.lock:
                self._worker.wake_signal.ring()
        return None

    def _failed(self, running: Running, error: BaseException) -> None:
        claim = running.claim
        if running.interruptible.interrupted:
            overdue = running.overdue()
            overdue.__cause__ = None if isinstance(error, StepTimeout) else error
            error = overdue.with_traceback(error.__traceback__)
        elif _is_to_run_again(running, error):
            log.warning("Job %s: its step runs again, after %s", claim.id, first_line(error))
            self._worker.insist(lambda: self._worker.release(running))
            return
        failure = classify_failure(error, claim)
        _tell(claim, failure)
        self._worker.insist(lambda: self._write(running, failure))

    def _write(self, running: Running, failure: Failure) -> None:
        queries, claim = self._worker.queries, running.claim
        try:
            queries.fail(claim, running.context, failure)
        except DataError as error:
            # or the job would end one worker after the other
            log.exception("Job %s: the tables cannot hold how it failed", claim.id)
            queries.fail(
                claim, claim.context(bool), Failure(error=f"{type(error).__name__}: see the log")
            )

    def _timeout(self, claim: ClaimedJob) -> float:
        name = claim.call.task_name
        own = find_task(name).timeout if is_known(name) else None
        return own or self._worker.options.timeout


def has_clashed(error: BaseException) -> bool:
    """Tell whether it is of transactions of which one had to give up."""
    return any(code in _CLASHES for code in pgcodes(error))


def _is_to_run_again(running: Running, error: BaseException) -> bool:
    """Tell whether the database is to blame, and not the task."""
    lost = running.again or isinstance(error, CommitUnknownError)
    return lost or running.clashed or has_clashed(error)


def _tell(claim: ClaimedJob, failure: Failure) -> None:
    if failure.status == "failed" and not failure.at:
        log.error("Job %s: %s failed: %s", claim.id, claim.call, failure.traceback)
        return
    # in one line: the tables have the traceback, and this is no reason to worry
    reason, _, _ = failure.error.partition("\n")
    what = "is aborted"
    if failure.at:
        at = failure.at.astimezone(dt.timezone.utc)
        what = f"is tried again at {at:%Y-%m-%d %H:%M:%S} UTC"
    log.warning("Job %s: %s %s, after %s", claim.id, claim.call, what, reason)


@contextmanager
def _own_session() -> Any:
    """Begin with a session that nobody has used, and leave none behind."""
    model.Session.remove()
    try:
        yield
    finally:
        model.Session.remove()
