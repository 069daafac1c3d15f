"""Tasks: top-level functions that workers can find and run."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import logging
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar, overload

from procrastinate.retry import RetryValue, get_retry_strategy
from typing_extensions import Unpack

from .call import Call, register_task
from .context import checked_percent, current_job, running_call
from .deferring import defer
from .definition import (
    Signature,
    check_context,
    check_names,
    check_options,
    default_options,
    path_of,
)
from .errors import BackgroundError, StepTimeout
from .job import Job
from .options import DeferOptions, JobOptions, defer_options, refuse_unknown
from .retry import retry_step

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class TaskOptions(JobOptions, total=False):
    """Options of :func:`task`."""

    name: str | None
    aliases: Sequence[str]
    retry: RetryValue
    percent: Callable[..., float | None] | None
    pass_context: bool
    timeout: float | None
    atomic: bool


class Task(ABC, Generic[F]):
    """A function that can run in the background. Made by :func:`task`.

    Calling it runs nothing: it returns a :class:`Call`, which ``isinstance`` takes for a task, too.
    """

    timeout_error = StepTimeout

    def __init__(
        self,
        function: F,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        retry: RetryValue = False,
        percent: Callable[..., float | None] | None = None,
        pass_context: bool = False,
        timeout: float | None = None,
        atomic: bool = True,
        **options: Unpack[JobOptions],
    ) -> None:
        self.path = path_of(function)
        check_options(self.path, retry, percent, timeout)
        if pass_context:
            check_context(function, self.path)
        self.function = function
        self.name = name or self.path
        self.aliases = aliases
        self.percent = percent
        self.pass_context = pass_context
        self.timeout = timeout
        self.atomic = atomic
        self.retry_strategy = get_retry_strategy(retry)
        self.signature = Signature(function, self.name, pass_context)
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        self.schedules: set[str] = set()
        """The ``periodic_id`` of each schedule."""
        check_names(self.path, self.name, aliases)
        self.options = default_options(self.path, options)
        register_task(self)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Call:
        """Return a call of the task. Nothing runs.

        :raises ArgumentError: the arguments do not fit, or JSON cannot hold them.
        """
        return Call(self.name, self.pack(args, kwargs))

    def delay(self, /, *args: Any, **kwargs: Any) -> Job:
        """Defer a job with these arguments; see :meth:`configure` for its options.

        The call writes the job into the current transaction of ``ckan.model.Session``:
        workers see it after that commits, and only then. Awaiting the job gives the job.
        """
        return self.configure().delay(*args, **kwargs)

    defer = delay
    defer_sync = delay

    def batch_defer(self, *arguments: Mapping[str, Any]) -> list[Job]:
        """Defer many jobs at once: one for each dict of keyword arguments."""
        return self.configure().batch_defer(*arguments)

    def configure(self, **options: Unpack[DeferOptions]) -> Deferrer:
        """Return the task with options for its jobs, in place of the task's own.

        ``queue``, ``lock``, ``queueing_lock`` and ``priority`` have the meanings of :func:`task`.

        :param eta: not before that time, which is in UTC if it has no time zone.
        :param countdown: not before that many seconds from now.
        :raises BackgroundError: an option is invalid.
        """
        return Deferrer(self, {**self.options, **defer_options(**options)})

    def retry(
        self,
        args: Sequence[Any] | str | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        countdown: float | None = None,
        eta: dt.datetime | None = None,
        max_retries: int | None = 3,
    ) -> NoReturn:
        """End the running step, and try it again later.

        The step's changes of the database are undone, unless the task is not atomic.

        :param args: positional arguments for the next try; the arguments of this one if
            neither these nor ``kwargs`` are given. A single string is one argument.
        :param exc: the reason; raised when the tries are used up.
        :param countdown: seconds to wait, 180 unless ``eta`` is given, and 30 days at most.
        :param eta: not before that time, which is in UTC if it has no time zone.
        :param max_retries: how often a step is tried again; None for no limit.
        :raises Retry: for the worker, unless one of the others is raised.
        :raises MaxRetriesExceededError: the tries are used up, and there is no ``exc``.
        :raises NotInJobError: no step of a job runs here.
        """
        call = None
        if args is not None or kwargs is not None:
            positional = (args,) if isinstance(args, str) else args or ()
            call = self(*positional, **(kwargs or {}))
        retry_step(call, exc, countdown, eta, max_retries)

    def pack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments as a job keeps them: by name, as JSON.

        :raises ArgumentError: the arguments do not fit, or JSON cannot hold them.
        """
        return self.signature.pack(args, kwargs)

    def run(self, call: Call) -> Any:
        """Run the function with a call's arguments; for workers and :meth:`Call.run_once`.

        An async task runs in a loop of its own, or in the caller's if there is one.

        :raises BackgroundError: the function returned a task without arguments.
        """
        args, kwargs = self.signature.unpack(call.args)
        context = [current_job()] if self.pass_context else []
        with running_call(call):
            result = self.function(*context, *args, **kwargs)
            if inspect.isawaitable(result) and not _in_loop():
                result = asyncio.run(_finish(result))
            return self._checked(result)

    def _checked(self, result: Any) -> Any:
        """Return the result of the function, unless it is a task, which would end the job early."""
        if isinstance(result, Task) and not isinstance(result, Call):
            other: Task[Any] = result
            raise BackgroundError(
                f"Task {self.name} returns the task {other.name} without arguments: to go on with"
                f" it, call it, as in `return {other.name.rpartition('.')[2]}(...)`"
            )
        return result

    def percent_of(self, call: Call) -> float | None:
        """Return the progress at which a call begins, if the task knows it."""
        if self.percent is None:
            return None
        try:
            args, kwargs = self.signature.unpack(call.args)
            percent = self.percent(*args, **kwargs)
            return None if percent is None else checked_percent(percent)
        except Exception:
            # a job must not fail because of its progress
            log.exception("The progress of %r is not known", call)
            return None

    def timeout_of(self, job_id: int) -> float | None:
        """Return the seconds that a step may take; None for the limit of the worker."""
        return self.timeout


# For Celery and Procrastinate a Task is the function. In other code for CKAN a Task is what calling
# a task returns: that code uses isinstance(result, Task) to find out whether a step goes on, and
# would drop the next step without an error. So a call is a Task, too: no task returns a function.
Task.register(Call)


class Deferrer:
    """A task with the options of a job, see :meth:`Task.configure`."""

    def __init__(self, task: Task[Any], options: Mapping[str, Any]) -> None:
        self._task = task
        self._options = options

    def delay(self, /, *args: Any, **kwargs: Any) -> Job:
        """As :meth:`Task.delay`."""
        return self._defer([self._task(*args, **kwargs)])[0]

    defer = delay
    defer_sync = delay

    def batch_defer(self, *arguments: Mapping[str, Any]) -> list[Job]:
        """As :meth:`Task.batch_defer`."""
        return self._defer([self._task(**each) for each in arguments])

    def _defer(self, calls: Sequence[Call]) -> list[Job]:
        return defer(self._task.name, [call.args for call in calls], self._options)


@overload
def task(function: F, /) -> Task[F]: ...


@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[F], Task[F]]: ...


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a top-level function a task.

    :param name: ``module.function`` by default.
    :param aliases: other names, of old jobs for example.
    :param queue: which workers run its jobs, see ``worker -q``.
    :param retry: True to try a failed step again at once without limit, a number of
        times, or a :class:`RetryStrategy`.
    :param lock: of the jobs with the same lock one runs at a time, those that are due in order.
    :param queueing_lock: of the jobs with the same queueing lock one waits at a time.
    :param priority: jobs with a higher priority run first.
    :param percent: called with the arguments of a call, returns the progress (0 to
        100) at which the call begins, or None to keep the last one. It must change nothing.
    :param pass_context: the function's first argument is the :class:`JobContext`.
    :param timeout: seconds that a step may take.
    :param atomic: False to run its steps without a transaction around them: what a step commits
        stays, also when it fails, and a step that has lost its worker runs again.
    :raises TaskDefinitionError: a worker could not find or run it.
    """
    refuse_unknown(options, TaskOptions)
    if function is not None:
        return Task(function)
    return lambda function: Task(function, **options)


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _finish(awaitable: Any) -> Any:
    return await awaitable
