"""Trying a step again, later."""

from __future__ import annotations

import datetime as dt
from typing import NoReturn

from .call import Call
from .context import JobContext, current_job
from .errors import ArgumentError, BackgroundError, MaxRetriesExceededError, NotInJobError
from .options import when
from .registry import find

DELAY = 180.0
"""Seconds to wait before a step is tried again, unless told otherwise."""


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
    if countdown is None and eta is None:
        countdown = DELAY
    at = when(eta, countdown)
    assert at
    raise Retry(at, call) from error


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
