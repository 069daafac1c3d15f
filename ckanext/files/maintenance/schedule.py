"""Running tasks by the clock, if the configuration contains a schedule for them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckan.common import config

from ckanext.files.background import Call, Task, task
from ckanext.files.background.cron import Cron, find_zone
from ckanext.files.background.periodic import forget_periodic, register_periodic

from .errors import ScheduleError
from .tasks import (
    delete_unattached,
    move_storage,
    remove_expired_uploads,
    remove_strays,
    report_missing,
    settle_abandoned,
    verify_checksums,
)

_PREFIX = "ckanext.files.maintenance"
_TIMEZONE = f"{_PREFIX}.timezone"
_TASKS: dict[str, tuple[Task[Any], tuple[str, ...]]] = {
    "unattached": (delete_unattached, ("days", "storages", "dry_run")),
    "abandoned": (settle_abandoned, ("days", "give_to", "storages", "dry_run")),
    "missing": (report_missing, ("storages",)),
    "strays": (remove_strays, ("storages", "hours", "dry_run")),
    "checksums": (verify_checksums, ("storages",)),
    "uploads": (remove_expired_uploads, ()),
    "move": (move_storage, ("source", "target", "dry_run")),
}
_REQUIRED = {"move": ("source", "target")}


class Schedule(NamedTuple):
    """A task with the times at which it runs."""

    task: str
    """As the options call it, such as ``unattached``."""

    cron: str


def schedules() -> list[Schedule]:
    """Return the schedules of the configuration.

    :raises ScheduleError: an option is wrong; the error names it.
    """
    wanted = [Schedule(name, (_option(name, "schedule") or "").strip()) for name in _TASKS]
    found = [schedule for schedule in wanted if schedule.cron]
    _check_timezone()
    for schedule in found:
        _check(schedule)
    return found


def register_schedules() -> None:
    """Register the schedules of the configuration, and forget all earlier ones.

    :raises ScheduleError: an option is wrong.
    """
    found = schedules()
    for name in _TASKS:
        forget_periodic(scheduled, name)
    for name, cron in found:
        options = {
            # one job runs, and at most one more waits
            "lock": _TASKS[name][0].options["lock"],
            "queueing_lock": f"{_PREFIX}.{name}",
            "task_kwargs": {"name": name},
        }
        register_periodic(scheduled, cron, name, options, _timezone())


@task(name="ckanext.files.maintenance.scheduled")
def scheduled(name: str, timestamp: int) -> Call:
    """Go on with a task, with the arguments that the configuration has at this moment.

    :param name: the task, as the options call it.
    """
    found, parameters = _TASKS[name]
    return found(**{parameter: _option(name, parameter) for parameter in parameters})


def _option(task: str, name: str) -> Any:
    return config[f"{_PREFIX}.{task}.{name}"]


def _timezone() -> str:
    return config[_TIMEZONE].strip()


def _check_timezone() -> None:
    try:
        find_zone(_timezone())
    except ValueError as error:
        raise ScheduleError(f"The option {_TIMEZONE} is invalid: {error}") from error


def _check(schedule: Schedule) -> None:
    name, cron = schedule
    try:
        Cron(cron)
    except ValueError as error:
        raise ScheduleError(
            f"The option {_PREFIX}.{name}.schedule is {cron!r}, which is invalid ({error}): write "
            "minute, hour, day, month and day of the week, such as 30 3 * * 0"
        ) from error
    for needed in _REQUIRED.get(name, ()):
        if not _option(name, needed):
            raise ScheduleError(
                f"With {_PREFIX}.{name}.schedule, {_PREFIX}.{name}.{needed} is needed"
            )
