"""The step that runs: what a task can know of its job and say of its progress."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .call import Call
from .errors import NotInJobError
from .values import legible


@dataclasses.dataclass
class JobContext:
    """The job of the step that runs; the first argument of tasks with ``pass_context``."""

    id: int
    call: Call
    """What the step runs."""

    attempts: int = 0
    """How often a worker has finished with the job before."""

    step: int = 0
    """How many steps of the job are done."""

    retries: int = 0
    """How often this step was tried before."""

    user_id: str | None = None
    task_id: str | None = None
    queue: str = "default"
    priority: int = 0
    lock: str | None = None

    percent: float | None = None
    text: str | None = None
    """The progress of the step, see :func:`set_progress`."""

    innermost: Call | None = None
    """The call that runs at the moment, by :meth:`Call.run_once` within the step's."""

    share: tuple[float, float] = (0.0, 100.0)
    """Between which percentages of the job the running call is, see :func:`chain`."""

    aborting: Callable[[], bool] = bool

    def should_abort(self) -> bool:
        """Tell whether somebody wants the job to end: raise :class:`JobAborted` then.

        A task that never asks goes on until its step ends.
        """
        return self.aborting()


_current: ContextVar[JobContext | None] = ContextVar("ckanext.files.job", default=None)


def current_job() -> JobContext | None:
    """Return the job whose step runs here; None outside of one."""
    return _current.get()


@contextmanager
def running(context: JobContext) -> Iterator[None]:
    """Let the code within be a step of that job."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def running_call(call: Call) -> Iterator[None]:
    """Let the code within be that of a call of the step."""
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
def sharing(first: float, last: float) -> Iterator[None]:
    """Let the progress of the code within be a part of that of the call.

    :param first: the percentage of the call at which the code begins, ``last`` at which it ends.
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
    """Say how far the job is, from within a step.

    Others see it within a second, and for good with the commit of the step.

    :param percent: 0 to 100 of the task; in a :func:`chain`, of its part of the job.
    :param text: for people, such as ``3 of 7 files``; None keeps the last one.
    :raises NotInJobError: no step of a job runs here.
    :raises ValueError: the percentage is none.
    :raises TypeError: the text is none.
    """
    context = current_job()
    if context is None:
        raise NotInJobError("Only a step of a job has a progress: no job runs here")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"The text of a progress is no string: {text!r}")
    context.percent = _in_share(context.share, as_percent(percent))
    if text is not None:
        context.text = legible(text)


def as_percent(value: Any) -> float:
    """Return a percentage that was given by a task."""
    percent = float(value)
    if not 0 <= percent <= 100:
        raise ValueError(f"A progress is from 0 to 100 percent, not {value!r}")
    return _rounded(percent)


def _in_share(share: tuple[float, float], percent: float) -> float:
    first, last = share
    return _rounded(first + (last - first) * percent / 100)


def _rounded(percent: float) -> float:
    return round(percent, 6)  # the table has numbers of single precision, and none below 1e-45
