"""The running step: what its task can read of the job, and the progress that it sets."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .call import Call
from .errors import NotInJobError
from .values import storable_text


@dataclasses.dataclass
class JobContext:
    """The job of the step that runs; the first argument of tasks with ``pass_context``."""

    id: int
    call: Call
    """What the step runs."""

    attempts: int = 0
    """How many runs of the job have ended before, by a failure or with a lost worker."""

    step: int = 0
    """How many steps of the job are done."""

    retries: int = 0
    """How often this step was tried before."""

    user_id: str | None = None
    task_id: str | None = None
    queue: str = "default"
    priority: int = 0
    lock: str | None = None
    scheduled_at: dt.datetime | None = None
    """The time before which the job did not begin."""

    percent: float | None = None
    text: str | None = None
    """The progress of the step, see :func:`set_progress`."""

    innermost: Call | None = None
    """The call that runs at the moment: the step's, or one inside by :meth:`Call.run_once`."""

    share: tuple[float, float] = (0.0, 100.0)
    """The percentages of the job between which the running call is, see :func:`chain`."""

    aborting: Callable[[], bool] = bool

    end_timeout: Callable[[], object] = object
    """Ends the timeout of the step: for a task that goes on after the code that it limits."""

    def should_abort(self) -> bool:
        """Return whether the job is to end; the task should raise :class:`JobAborted` then.

        A task that never calls this goes on until its step ends.
        """
        return self.aborting()


_current: ContextVar[JobContext | None] = ContextVar("ckanext.files.job", default=None)


def current_job() -> JobContext | None:
    """Return the job whose step runs here; None outside of one."""
    return _current.get()


@contextmanager
def running(context: JobContext) -> Iterator[None]:
    """Make a job the current one of the code within."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def running_call(call: Call) -> Iterator[None]:
    """Make a call the innermost one of the code within."""
    context = current_job()
    if context is None:
        yield
        return
    outer, context.innermost = context.innermost, call
    try:
        yield
    finally:
        context.innermost = outer


@contextmanager
def progress_between(first: float, last: float) -> Iterator[None]:
    """Make the progress of the code within a part of the progress of the call.

    :param first: the percentage of the call at which the code begins.
    :param last: the percentage at which it ends.
    """
    context = current_job()
    if context is None:
        yield
        return
    outer = context.share
    context.share = _in_share(outer, first), _in_share(outer, last)
    try:
        yield
    finally:
        context.share = outer


def set_progress(percent: float, text: str | None = None) -> None:
    """Publish the progress of the job, from within a step.

    Other sessions see it within a second. The commit of the step makes it permanent.

    :param percent: 0 to 100 of the task; in a :func:`chain`, of its part of the job.
    :param text: for people, such as ``3 of 7 files``; None keeps the last one, and an empty
        text removes it. The text is shown as it is, in one language: a worker knows no visitor's.
    :raises NotInJobError: no step of a job runs here.
    :raises ValueError: the percentage is not from 0 to 100.
    :raises TypeError: the text is no string.
    """
    context = current_job()
    if context is None:
        raise NotInJobError("Only a step of a job has a progress: no job runs here")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"The text of a progress is no string: {text!r}")
    context.percent = _in_share(context.share, checked_percent(percent))
    if text is not None:
        context.text = storable_text(text)


def forget_text() -> None:
    """Remove the text of the progress: the part of the job that has set it is over."""
    context = current_job()
    if context is not None:
        context.text = ""


def checked_percent(value: Any) -> float:
    """Return a percentage that a task has given, as a number.

    :raises ValueError: it is not from 0 to 100.
    """
    percent = float(value)
    if not 0 <= percent <= 100:
        raise ValueError(f"A progress is from 0 to 100 percent, not {value!r}")
    return _rounded(percent)


def _in_share(share: tuple[float, float], percent: float) -> float:
    first, last = share
    return _rounded(first + (last - first) * percent / 100)


def _rounded(percent: float) -> float:
    return round(percent, 6)  # the column has single precision, and no number below 1e-45
