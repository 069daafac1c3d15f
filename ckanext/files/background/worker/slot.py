"""A slot of a worker: a thread that runs one step after the other."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ckan import model
from psycopg2 import DataError

from ..call import find_task
from ..errors import LostJobError, StepTimeout
from ..job import ClaimedJob
from ..retry import Failure, classify_failure
from ..step import perform
from .execution import Execution
from .supply import JobSupply, first_line

log = logging.getLogger(__name__)

_MAX_IN_A_ROW = 32
"""Claims within the commits of steps, before the slot looks at jobs with a lock, too."""


class Slot(threading.Thread):
    """Runs steps of the jobs that it gets, until the worker stops."""

    def __init__(
        self,
        supply: JobSupply,
        request_context: Callable[[], AbstractContextManager[Any]],
        number: int,
    ) -> None:
        super().__init__(name=f"slot-{number}", daemon=True)
        self._supply = supply
        self._request_context = request_context
        self._in_a_row = 0
        self.worker_id = supply.queries.worker_id
        self.execution: Execution | None = None
        self.given_up = False
        """The worker has replaced this thread: it takes no more jobs."""

    def run(self) -> None:
        job = self._supply.next_job()
        while job is not None and not self.given_up:
            job = self._run_step(job)
            if job is None and not self.given_up:
                self._in_a_row = 0
                job = self._supply.next_job()

    def next_queues(self) -> tuple[bool, list[str] | None]:
        """See :class:`~ckanext.files.background.step.StepOwner`."""
        self._in_a_row += 1
        ends = self._supply.stopping or self._supply.used_up
        claims = self._in_a_row < _MAX_IN_A_ROW and not ends
        return claims, list(self._supply.options.queues) or None

    def committed(self) -> None:
        """See :class:`~ckanext.files.background.step.StepOwner`."""
        assert self.execution
        self.execution.committed = True

    def write_end(self, values: Mapping[str, Any]) -> str:
        """See :class:`~ckanext.files.background.step.StepOwner`."""
        return self._supply.write(lambda: self._supply.queries.end(values))

    def _run_step(self, job: ClaimedJob) -> ClaimedJob | None:
        context = job.context(lambda: execution.abort_requested)
        execution = Execution(job, context, self._supply.options.timeout)
        self.execution = execution
        self._supply.begun += 1
        try:
            with self._request_context(), _own_session():
                execution.follow(find_task(job.call.task_name))
                result = perform(job, context, self, execution.interruptible.within())
            log.debug("Job %s: %s %s", job.id, job.call, result.outcome)
            return result.next
        except LostJobError as error:
            log.warning("%s", error)
        except BaseException as error:
            self._end_badly(execution, error)
        finally:
            self.execution = None
            if job.lock:
                self._supply.wake_signal.send()
        return None

    def _end_badly(self, execution: Execution, error: BaseException) -> None:
        """Write what becomes of a job whose step has raised an error."""
        job = execution.job
        if execution.lost:
            log.warning("Job %s: %s", job.id, execution.interruption())
            return
        if execution.ends_by_interrupt(error):
            interruption = execution.interruption()
            interruption.__cause__ = None if isinstance(error, StepTimeout) else error
            error = interruption.with_traceback(error.__traceback__)
        elif execution.must_run_again(error):
            log.warning("Job %s: its step runs again, after %s", job.id, first_line(error))
            self._supply.write(lambda: self._supply.release(execution))
            return
        failure = classify_failure(error, job)
        _log(job, failure)
        self._supply.write(lambda: self._write(execution, failure))

    def _write(self, execution: Execution, failure: Failure) -> None:
        queries, job = self._supply.queries, execution.job
        try:
            queries.fail(job, execution.context, failure)
        except DataError as error:
            # without an end in the tables the job would end one worker after the other
            log.exception("Job %s: the tables cannot hold how it failed", job.id)
            queries.fail(
                job, job.context(bool), Failure(error=f"{type(error).__name__}: see the log")
            )


def _log(job: ClaimedJob, failure: Failure) -> None:
    if failure.status == "failed" and not failure.at:
        log.error("Job %s: %s failed: %s", job.id, job.call, failure.traceback)
        return
    # one line is enough for an expected end: the tables have the traceback
    reason, _, _ = failure.error.partition("\n")
    what = "is aborted"
    if failure.at:
        at = failure.at.astimezone(dt.timezone.utc)
        what = f"is tried again at {at:%Y-%m-%d %H:%M:%S} UTC"
    log.warning("Job %s: %s %s, after %s", job.id, job.call, what, reason)


@contextmanager
def _own_session() -> Any:
    """Give the code within a new session of CKAN, and remove it afterwards."""
    model.Session.remove()
    try:
        yield
    finally:
        model.Session.remove()
