"""When the tasks run by themselves: never, unless the configuration says so."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckanext.files.background import Call, Task, task
from ckanext.files.background.cron import Cron, find_zone
from ckanext.files.background.periodic import forget_periodic, register_periodic

from .errors import ScheduleError
from .options import PREFIX, TIMEZONE, option, timezone
from .tasks import (
    delete_unattached,
    move_storage,
    remove_strays,
    report_missing,
    settle_abandoned,
    verify_checksums,
)

_TASKS: dict[str, tuple[Task[Any], tuple[str, ...]]] = {
    "unattached": (delete_unattached, ("days", "storages", "dry_run")),
    "abandoned": (settle_abandoned, ("days", "give_to", "storages", "dry_run")),
    "missing": (report_missing, ("storages",)),
    "strays": (remove_strays, ("storages", "hours", "dry_run")),
    "checksums": (verify_checksums, ("storages",)),
    "move": (move_storage, ("source", "target", "dry_run")),
}
_NEEDED = {"move": ("source", "target")}


class Schedule(NamedTuple):
    """A task that runs by itself."""

    task: str
    """As the options call it, such as ``unattached``."""

    cron: str


def schedules() -> list[Schedule]:
    """Return what the configuration wants to run, and when.

    :raises ScheduleError: an option is wrong; the error names it.
    """
    wanted = [Schedule(name, (option(name, "schedule") or "").strip()) for name in _TASKS]
    found = [schedule for schedule in wanted if schedule.cron]
    _check_timezone()
    for schedule in found:
        _check(schedule)
    return found


def register_schedules() -> None:
    """Have workers of this process run what :func:`schedules` returns, and nothing else.

    :raises ScheduleError: an option is wrong.
    """
    found = schedules()
    for name in _TASKS:
        forget_periodic(scheduled, name)
    for name, cron in found:
        options = {
            # one runs, and one more may wait
            "lock": _TASKS[name][0].options["lock"],
            "queueing_lock": f"{PREFIX}.{name}",
            "task_kwargs": {"name": name},
        }
        register_periodic(scheduled, cron, name, options, timezone())


@task(name="ckanext.files.maintenance.scheduled")
def scheduled(name: str, timestamp: int) -> Call:
    """Go on with a task, as the configuration wants it now.

    :param name: what the options call the task.
    """
    found, parameters = _TASKS[name]
    return found(**{parameter: option(name, parameter) for parameter in parameters})


def _check_timezone() -> None:
    try:
        find_zone(timezone())
    except ValueError as error:
        raise ScheduleError(f"The option {TIMEZONE} cannot be: {error}") from error


def _check(schedule: Schedule) -> None:
    name, cron = schedule
    try:
        Cron(cron)
    except ValueError as error:
        raise ScheduleError(
            f"The option {PREFIX}.{name}.schedule is {cron!r}, which cannot be ({error}): write "
            "minute, hour, day, month and day of the week, such as 30 3 * * 0"
        ) from error
    for needed in _NEEDED.get(name, ()):
        if not option(name, needed):
            raise ScheduleError(
                f"With {PREFIX}.{name}.schedule, {PREFIX}.{name}.{needed} is needed"
            )
