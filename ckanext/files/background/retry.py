"""Trying a step again, later."""

from __future__ import annotations

import datetime as dt
from typing import NoReturn

from .call import Call
from .context import JobContext, current_job
from .errors import ArgumentError, BackgroundError, MaxRetriesExceededError, NotInJobError
from .options import YEARS, when, with_zone
from .registry import find

DELAY = 180.0
"""Seconds to wait before a step is tried again, unless told otherwise."""

LONGEST_WAIT = dt.timedelta(days=30)
"""Waits that grow end there: the tenth of ``exponential_wait=5`` is longer than a year."""


class Retry(BackgroundError):  # noqa: N818 - the name is Celery's
    """Ends a step that is to be tried again; raised by :meth:`Task.retry`."""

    def __init__(self, at: dt.datetime, call: Call | None) -> None:
        super().__init__(f"To be tried again at {at.isoformat()}")
        self.at = at
        self.call = call


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
    raise Retry(_time(countdown, eta), call) from error


def bounded(at: dt.datetime | None) -> dt.datetime:
    """Return a time that is neither past nor further away than :data:`LONGEST_WAIT`.

    :param at: in UTC if it has no time zone; None for now.
    """
    now = dt.datetime.now(dt.timezone.utc)
    return now if at is None else min(max(with_zone(at), now), latest())


def latest() -> dt.datetime:
    """Return the time at which the longest wait ends that begins now."""
    return dt.datetime.now(dt.timezone.utc) + LONGEST_WAIT


def _time(countdown: float | None, eta: dt.datetime | None) -> dt.datetime:
    if countdown is None and eta is None:
        countdown = DELAY
    if isinstance(countdown, (int, float)):
        countdown = min(countdown, LONGEST_WAIT.total_seconds())
    if isinstance(eta, dt.datetime) and eta.year not in YEARS:
        eta = bounded(eta)
    at = when(eta, countdown)
    assert at
    return at


def _replacement(call: Call, job: JobContext) -> Call | None:
    """Return what the step shall run next time; None if that is what it runs now."""
    innermost = job.innermost or job.call
    if call.args == innermost.args:
        return None
    if innermost != job.call or find(call.task_name) is not find(job.call.task_name):
        raise ArgumentError(
            f"The running step is {job.call!r}: only its own arguments can be replaced"
        )
    return call
