"""A function of ``toolkit.enqueue_job`` as a task that our workers run.

What the function commits is real, and no transaction is open around it: it may call its own
site, and take minutes. A worker that is killed leaves a job that runs again, with another id.
A function that the option ``ckanext.files.jobs.atomic`` names is one commit with the end of
its job, and exactly once.

Nothing of a job is unpickled or imported before its signature is verified.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import rq
from ckan import model
from ckan.lib import jobs
from psycopg2 import InterfaceError, OperationalError
from rq.exceptions import DeserializationError
from rq.job import JobStatus
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.background import (
    Call,
    JobAborted,
    JobContext,
    MaxRetriesExceededError,
    NotInJobError,
    Retry,
    StepTimeout,
    current_job,
    rq_ids,
)
from ckanext.files.background.call import RegisteredTask, unknown_task
from ckanext.files.background.definition import by_name
from ckanext.files.background.options import MAX_NAME_LENGTH, checked_name

from . import policy, store
from .errors import ForgedJobError, JobExpired
from .job import Job
from .store import Row
from .timeout import CallbackTimer, JobTimeoutException

log = logging.getLogger(jobs.__name__)
"""CKAN's own: its lines about a job keep their words and their place."""

_ENDS = (JobAborted, MaxRetriesExceededError, Retry)
"""Errors that say themselves what becomes of a job."""

_begins = threading.local()
"""The row of the job that is about to begin in a thread: its timeout was read before."""


class FunctionTask:
    """The function of a job, known by its path; the job's row has all else.

    It exists for each name that no task has: whether there is a job of it only the tables know.
    """

    aliases: Sequence[str] = ()
    retry_strategy: Any = None
    timeout_error: type[StepTimeout] = JobTimeoutException

    def __init__(self, name: str) -> None:
        self.name = self.path = name
        self.options: dict[str, Any] = {}
        self.atomic = policy.is_atomic(name)

    @property
    def function(self) -> Any:
        """:raises UnknownTaskError: only the jobs have it."""
        raise unknown_task(self.name)

    def delay(self, /, *args: Any, **kwargs: Any) -> Any:
        """:raises UnknownTaskError: such jobs are asked for with ``toolkit.enqueue_job``."""
        raise unknown_task(self.name)

    def pack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments for a task that another process may know."""
        return by_name(kwargs, args, checked_name(self.name, "name of a task"))

    def percent_of(self, call: Call) -> float | None:
        """Return that the progress is unknown."""
        return None

    def timeout_of(self, job_id: int) -> float | None:
        """Return the timeout of a job in seconds, 0 for none.

        :raises ForgedJobError: this site has not signed the job.
        """
        if (row := store.of_job(job_id)) is None:
            return None
        job = _verified(row)
        _begins.row = row
        return max(job.timeout or rq.Queue.DEFAULT_TIMEOUT, 0)

    def run(self, call: Call) -> Any:
        """Run the function of the job that is the current one.

        :raises ForgedJobError: this site has not signed the job, or not for this function.
        :raises UnknownTaskError: the job is one of a task, or goes on with one, that this process
            does not know.
        """
        if (context := current_job()) is None:
            raise NotInJobError(f"Only a worker can run {self.name}: no job runs here")
        if context.step or (row := _row_of(context)) is None:
            raise unknown_task(self.name)  # later steps are tasks
        job = _verified(row, rq_ids.of_run(row.rq_id, context.attempts))
        _check_ttl(job, context)
        self._check_name(job)
        with _logged(job, row.job_id), _retried(job, context):
            result, data = _perform(job)
            if not self.atomic:
                with suppress(SQLAlchemyError):  # with its connection lost, nothing is left to undo
                    model.Session.remove()
        if isinstance(result, Call):
            return result
        if data is not None or context.attempts:
            _keep(row, data, job.result_ttl, self.atomic)
        return None

    def _check_name(self, job: Job) -> None:
        """:raises ForgedJobError: the signed job is of another function than the row says."""
        with suppress(DeserializationError):  # the job fails of it when it runs
            if job.task_name[:MAX_NAME_LENGTH] != self.name:
                raise ForgedJobError(
                    f"The row of job {job.id} has the task {self.name}, and the signed job has "
                    f"{job.task_name}: another program has changed the row"
                )


def resolve(name: str) -> RegisteredTask:
    """Return the task for a name that no other one has, see :data:`.call.resolvers`."""
    return FunctionTask(name)


def worker_key() -> str:
    """Return what logs call the worker of this process."""
    return f"{socket.gethostname()}.{os.getpid()}"


def _row_of(context: JobContext) -> Row | None:
    row: Row | None = vars(_begins).pop("row", None)
    return row if row and row.job_id == context.id else store.of_job(context.id)


def _verified(row: Row, run_id: str | None = None) -> Job:
    """Return the job of a row.

    :raises ForgedJobError: this site has not signed it.
    """
    job = Job.from_row(row, run_id=run_id)
    job.check()
    return job


def _check_ttl(job: Job, context: JobContext) -> None:
    """Refuse to begin a job after its ``ttl``.

    When a job that depends on others began to wait in its queue is not known.

    :raises JobExpired: it is too late.
    """
    begin = context.scheduled_at or job.enqueued_at
    if context.attempts or job.ttl is None or begin is None or job.dependency_ids:
        return
    now = dt.datetime.now(dt.timezone.utc)
    if now > begin.replace(tzinfo=begin.tzinfo or dt.timezone.utc) + dt.timedelta(seconds=job.ttl):
        raise JobExpired(f"The job has waited longer than its ttl of {job.ttl} seconds")


def _perform(job: Job) -> tuple[Any, bytes | None]:
    """Run the function and RQ's callbacks; return the result, also as it is kept."""
    job.started_at = dt.datetime.now(dt.timezone.utc)
    try:
        result = _call(job)
        if isinstance(result, rq.Retry):
            raise _again(result)
        job._status = JobStatus.FINISHED  # noqa: SLF001 - callbacks may look
        job.execute_success_callback(CallbackTimer, result)
        no_data = result is None or isinstance(result, Call)
        return result, None if no_data else job.serializer.dumps(result)
    except _ENDS:
        raise
    except BaseException:
        job._status = JobStatus.FAILED  # noqa: SLF001
        job.execute_failure_callback(CallbackTimer, *sys.exc_info())
        raise


def _call(job: Job) -> Any:
    """Run the function: the timeout of the job is for nothing else, as with RQ."""
    context = current_job()
    assert context
    try:
        return job.perform()
    finally:
        context.end_timeout()


def _again(wanted: rq.Retry) -> BaseException:
    """Return the error of a function that has returned what RQ takes for a wish for a retry."""
    context = current_job()
    assert context
    if context.retries >= wanted.max:
        return MaxRetriesExceededError(f"The job was tried again {context.retries} times")
    # for a returned wish RQ repeats the last interval, and not the first one
    intervals = list(wanted.intervals)[: context.retries + 1] or [0]
    return Retry(dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=intervals[-1]), None)


@contextmanager
def _retried(job: Job, context: JobContext) -> Iterator[None]:
    """Let the job wait again after an error, if its caller or the site wants that.

    :raises Retry: it does.
    """
    try:
        yield
    except _ENDS:
        raise
    except BaseException as error:
        queue = jobs.remove_queue_name_prefix(job.origin)
        at = policy.next_try(job, queue, context.retries)
        if at is None:
            raise
        raise Retry(at, None) from error


@contextmanager
def _logged(job: Job, number: int) -> Iterator[None]:
    """Write CKAN's lines about a job into its log: the first one with its number.

    CKAN's "has finished" is only for a job that has not failed.
    """
    worker, queue = worker_key(), jobs.remove_queue_name_prefix(job.origin)
    name = f"{job.id} ({job.title})" if job.title else job.id
    log.info('Worker %s starts job %s from queue "%s", number %s', worker, name, queue, number)
    try:
        yield
    except BaseException as error:
        # the worker's own line has the traceback
        reason = (isinstance(error, Retry) and error.__cause__) or error
        log.error("Job %s on worker %s raised an exception: %s", job.id, worker, reason)
        raise
    else:
        log.info('Worker %s has finished job %s from queue "%s"', worker, name, queue)


def _keep(row: Row, data: bytes | None, ttl: int | None, atomic: bool) -> None:
    """Keep what the function has returned, if that is possible: it need not run again for that."""
    try:
        store.keep_result(row.job_id, row.rq_id, data, ttl)
    except (OperationalError, InterfaceError) as error:
        if atomic:
            raise
        log.warning("The result of job %s cannot be kept: %s", row.rq_id, error)
