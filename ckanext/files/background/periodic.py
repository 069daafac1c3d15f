"""Schedules: tasks that run at the times that a cron expression names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attr
from procrastinate.periodic import PeriodicTask
from typing_extensions import Unpack

from .app import app
from .call import Call
from .cron import UTC, Cron
from .errors import BackgroundError, TaskDefinitionError
from .options import ScheduleOptions, checked_name, job_options, refuse_unknown
from .task import Task

F = TypeVar("F", bound=Callable[..., Any])


@attr.dataclass(frozen=True)
class Scheduled(PeriodicTask[Any, Any, Any]):
    """A schedule; Procrastinate's has no time zone."""

    times: Cron


def periodic(
    *, cron: str, periodic_id: str = "", timezone: str = UTC, **options: Unpack[ScheduleOptions]
) -> Callable[[Task[F]], Task[F]]:
    """Defer a job of the task at each time that a cron expression names.

    The task gets the time as ``timestamp``, in seconds since 1970. One of the
    workers defers each time, once. If no worker runs within ten minutes after a
    time, that time is left out. A new schedule begins when a worker first sees it, or sees it with
    another expression or time zone.

    :param cron: five fields, or six with seconds.
    :param periodic_id: distinguishes several schedules of one task.
    :param timezone: of the times, such as ``Europe/Berlin``. For the change of
        clocks see :mod:`~ckanext.files.background.cron`.
    :param options: of :func:`task` for its jobs (``queue``, ``lock``,
        ``queueing_lock``, ``priority``), and ``task_kwargs`` for more arguments.
    :raises TaskDefinitionError: the expression, the time zone or an option is
        invalid, the task takes no ``timestamp``, or has a schedule with that id.
    """

    def decorate(task: Task[F]) -> Task[F]:
        if periodic_id in getattr(task, "schedules", ()):
            raise TaskDefinitionError(
                f"Two schedules of task {task.name} have the periodic_id {periodic_id!r}: "
                "give each one of its own"
            )
        register_periodic(task, cron, periodic_id, options, timezone)
        return task

    return decorate


def register_periodic(
    task: Task[Any], cron: str, periodic_id: str, options: Mapping[str, Any], timezone: str = UTC
) -> None:
    """Defer jobs of a task periodically, see :func:`periodic`."""
    if isinstance(task, Call) or not isinstance(task, Task):
        raise TaskDefinitionError(f"@periodic goes above @task: {task!r} is no task")
    checked = _checked_options(task, periodic_id, options)
    try:
        times = Cron(cron, timezone)
    except ValueError as error:
        raise TaskDefinitionError(
            f"The schedule {cron!r} of task {task.name} cannot be: {error}"
        ) from error
    app.periodic_registry.periodic_tasks[task.name, periodic_id] = Scheduled(
        task=_for_procrastinate(task),
        cron=cron,
        periodic_id=periodic_id,
        configure_kwargs={**task.options, **checked},  # pyright: ignore[reportArgumentType]
        times=times,
    )
    task.schedules.add(periodic_id)


def scheduled() -> dict[tuple[str, str], Scheduled]:
    """Return the schedules of this process, by the task's name and the ``periodic_id``."""
    found: Any = app.periodic_registry.periodic_tasks
    return dict(found)


def forget_periodic(task: Task[Any], periodic_id: str) -> None:
    """Remove a schedule of a task, if there is one of that id."""
    app.periodic_registry.periodic_tasks.pop((task.name, periodic_id), None)
    task.schedules.discard(periodic_id)


def _checked_options(
    task: Task[Any], periodic_id: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a schedule in Procrastinate's words."""
    chosen = dict(options)
    if chosen.keys() & {"eta", "countdown"}:
        raise TaskDefinitionError(
            f"The schedule of task {task.name} cannot have eta or countdown: cron gives the times"
        )
    try:
        checked_name(periodic_id, "periodic_id")
        refuse_unknown(chosen, ScheduleOptions)
        packed = task.pack((), {**chosen.pop("task_kwargs", {}), "timestamp": 0})
        return {**job_options(**chosen), "task_kwargs": packed}
    except (BackgroundError, TypeError) as error:
        raise TaskDefinitionError(f"The schedule of task {task.name} cannot be: {error}") from error


def _for_procrastinate(task: Task[Any]) -> Any:
    if task.name not in app.tasks:
        app.task(name=task.name)(task.function)
    return app.tasks[task.name]
