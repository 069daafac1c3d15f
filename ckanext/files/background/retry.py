"""Retry policy: what becomes of a job whose step has failed.

A task asks for a retry by :meth:`Task.retry`, its decorator by ``retry=``; retries
are counted for each step. If PostgreSQL, Solr or Redis cannot be reached, which CKAN
itself needs, the step runs again after a pause, and that is no retry of the task.
After :data:`MAX_OUTAGES` such pauses the error counts as the task's. A step that is
not atomic has perhaps committed something: only its task decides whether it runs again.

Other servers, and storages of files, are the task's own: the type of an error does
not show whether it comes from CKAN's storage or from any other address.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

import psycopg2
import redis
from ckan.lib.search.common import SearchError, SearchIndexError, SolrConnectionError
from ckan.logic import ValidationError
from procrastinate.retry import RetryDecision
from psycopg2 import InterfaceError, OperationalError
from pysolr import SolrError
from sqlalchemy.exc import DBAPIError

from .call import Call, RegisteredTask, find_task
from .context import JobContext, current_job
from .error_line import text_of_validation
from .errors import (
    ArgumentError,
    BackgroundError,
    JobAborted,
    MaxRetriesExceededError,
    NotInJobError,
    UnknownTaskError,
)
from .job import ClaimedJob
from .options import YEARS, job_options, start_time, with_zone
from .values import storable_text

DEFAULT_COUNTDOWN = 180.0
"""Seconds to wait before a step is tried again."""

MAX_WAIT = dt.timedelta(days=30)
"""Limit of waits that grow: the tenth of ``exponential_wait=5`` is longer than a year."""

MAX_OUTAGES = 15
"""Pauses of a step, one after the other: some ten minutes."""

_MAX_PAUSE = 60
"""Seconds; the first pause is a second, and each is twice as long as the one before."""

_SEARCH = (SearchError, SearchIndexError, SolrError)

_NO_ANSWER = re.compile(
    r"Failed to connect to server|Connection to server|Could not connect to Solr"
    r"|Unhandled error: |HTTP 50[234]"
)
"""CKAN and pysolr report it only in the text of the error."""

_UNREACHABLE = ("08", "53300", "57P01", "57P02", "57P03")
"""PostgreSQL's codes for lost connections, too many of them, and a server that stops or starts."""


class Retry(BackgroundError):  # noqa: N818 - the name is Celery's
    """Ends a step that is to be tried again; raised by :meth:`Task.retry`."""

    def __init__(self, at: dt.datetime, call: Call | None) -> None:
        super().__init__(f"To be tried again at {at.isoformat()}")
        self.at = at
        self.call = call


@dataclasses.dataclass(frozen=True)
class Failure:
    """What the job's row keeps of a step that failed."""

    status: str = "failed"
    error: str = ""
    traceback: str = ""
    at: dt.datetime | None = None
    """When to try it again; None for never."""

    outage: bool = False
    """Whether the infrastructure is to blame."""

    call: Call | None = None
    queue: str | None = None
    priority: int | None = None
    lock: str | None = None


def retry_step(
    call: Call | None,
    error: BaseException | None,
    countdown: float | None,
    eta: dt.datetime | None,
    max_retries: int | None,
) -> NoReturn:
    """End the running step so that it is tried again, see :meth:`Task.retry`."""
    job = current_job()
    if job is None:
        raise error or NotInJobError("Only a step of a job can be tried again: no job runs here")
    if max_retries is not None and job.retries >= max_retries:
        raise error or MaxRetriesExceededError(
            f"{job.call!r} was tried again {job.retries} times, which is all it may be"
        )
    if call is not None:
        call = _replacement(call, job)
    raise Retry(_retry_time(countdown, eta), call) from error


def classify_failure(error: BaseException, job: ClaimedJob) -> Failure:
    """Decide what becomes of a job whose step has raised an error."""
    trace = _printed(traceback.format_exception, error)
    failure = Failure(error=_summary(error), traceback=trace)
    task = _task_of(job)
    service = unreachable_service(error) if task is None or task.atomic else None
    if service and job.outages < MAX_OUTAGES:
        return _after_outage(failure, service, job.outages)
    if isinstance(error, Retry):
        return dataclasses.replace(failure, at=error.at, call=error.call)
    if isinstance(error, JobAborted):
        return dataclasses.replace(failure, status=error.status)
    if isinstance(error, MaxRetriesExceededError):
        return failure
    try:
        return _with_decision(failure, _decide(error, job, task))
    except Exception as broken:
        also = _printed(traceback.format_exception, broken)
        return dataclasses.replace(
            failure,
            traceback=f"{trace}\nThe retry strategy of the task fails, too:\n\n{also}",
        )


def unreachable_service(error: BaseException) -> str | None:
    """Return the name of the service that could not be reached, if that caused the error."""
    if isinstance(error, SolrConnectionError):
        return "Solr"
    if isinstance(error, _SEARCH) and _NO_ANSWER.search(str(error)):
        return "Solr"
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
        return "Redis"
    if _is_lost_connection(error):
        return "PostgreSQL"
    return None


def pgcodes(error: BaseException) -> Iterator[str]:
    """Yield PostgreSQL's codes of an error, and of the errors that led to it."""
    cause: BaseException | None = error
    seen: list[BaseException] = []
    while cause is not None and not any(cause is each for each in seen):
        if isinstance(cause, psycopg2.Error) and cause.pgcode:
            yield cause.pgcode
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


def _is_lost_connection(error: BaseException | None) -> bool:
    """Return whether a connection to any database is lost.

    The worker itself handles a lost connection of CKAN's own session.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_lost_connection(error.orig)
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    # an error without a code does not come from the server
    return error.pgcode is None or error.pgcode.startswith(_UNREACHABLE)


def _after_outage(failure: Failure, service: str, before: int) -> Failure:
    seconds = min(2**before, _MAX_PAUSE)
    return dataclasses.replace(
        failure,
        error=f"{service} cannot be reached, pause {before + 1} of {MAX_OUTAGES}: {failure.error}",
        at=dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds),
        outage=True,
    )


def _task_of(job: ClaimedJob) -> RegisteredTask | None:
    try:
        return find_task(job.call.task_name)
    except UnknownTaskError:
        return None


def _decide(
    error: BaseException, job: ClaimedJob, task: RegisteredTask | None
) -> RetryDecision | None:
    """Return the decision of the task's retry strategy, if it has one."""
    strategy = task.retry_strategy if task else None
    try:
        again = strategy and strategy.get_retry_exception(error, job.for_strategy())
    except OverflowError:  # the wait ends after the last date of Python
        return RetryDecision(retry_at=_latest())
    return again.retry_decision if again else None


def _with_decision(failure: Failure, decision: RetryDecision | None) -> Failure:
    if decision is None:
        return failure
    # refuses what the table of jobs cannot hold
    job_options(decision.queue, decision.lock, None, decision.priority)
    return dataclasses.replace(
        failure,
        at=_limited(decision.retry_at),
        queue=decision.queue,
        priority=decision.priority,
        lock=decision.lock,
    )


def _limited(at: dt.datetime | None) -> dt.datetime:
    """Return a time that is neither past nor further away than :data:`MAX_WAIT`.

    :param at: in UTC if it has no time zone; None for now.
    """
    now = dt.datetime.now(dt.timezone.utc)
    return now if at is None else min(max(with_zone(at), now), _latest())


def _latest() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc) + MAX_WAIT


def _retry_time(countdown: float | None, eta: dt.datetime | None) -> dt.datetime:
    if countdown is None and eta is None:
        countdown = DEFAULT_COUNTDOWN
    if isinstance(countdown, (int, float)):
        countdown = min(countdown, MAX_WAIT.total_seconds())
    if isinstance(eta, dt.datetime) and eta.year not in YEARS:
        eta = _limited(eta)
    at = start_time(eta, countdown)
    assert at
    return at


def _replacement(call: Call, job: JobContext) -> Call | None:
    """Return what the step runs next time; None if that is what it runs now."""
    innermost = job.innermost or job.call
    if call.args == innermost.args:
        return None
    if innermost != job.call or find_task(call.task_name) is not find_task(job.call.task_name):
        raise ArgumentError(
            f"The running step is {job.call!r}: only its own arguments can be replaced"
        )
    return call


def _summary(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, Retry) else None
    return _printed(_lines, cause or error).strip()


def _lines(error: BaseException) -> list[str]:
    """Return what an exception says to the owner of the job, and not only to operators.

    A validation says it by field, and not as a dictionary. The paths of the server, which Python
    adds to errors of files, are in the traceback.
    """
    if isinstance(error, ValidationError):
        text = text_of_validation(error.error_dict)
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    elif isinstance(error, SyntaxError):
        text = error.msg
    else:
        return traceback.format_exception_only(error)
    module, name = type(error).__module__, type(error).__qualname__
    return [f"{name}: {text}" if module == "builtins" else f"{module}.{name}: {text}"]


def _printed(write: Callable[[BaseException], list[str]], error: BaseException) -> str:
    try:
        return storable_text("".join(write(error)))
    except Exception as broken:  # an exception's own methods are code of tasks, too
        return f"{type(error).__qualname__}, which cannot be printed: {type(broken).__name__}"
