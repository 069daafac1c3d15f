"""Options of jobs, and the names and keys of jobs.

They are checked where the caller gives them. PostgreSQL would refuse invalid ones,
too, but a statement that it refuses ends the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, TypedDict

from typing_extensions import Unpack

from .errors import BackgroundError
from .values import as_json

MAX_NAME_LENGTH = 128
"""Characters of a name of a task, or of the id of a schedule."""

MAX_QUEUE_BYTES = 40
"""Bytes of a queue's name: Procrastinate's channel has 23 more, and 63 at most."""

_MAX_KEY_BYTES = 1000
"""Bytes of a lock or an id: an index refuses keys that are about three times as long."""

_SHOWN = 40
"""Characters that an error shows of a text, which may be long."""

YEARS = range(2, 9999)
"""Years that Python can show in each time zone."""


class JobOptions(TypedDict, total=False):
    """How a job runs, as :func:`task` describes it."""

    queue: str | None
    lock: str | None
    queueing_lock: str | None
    priority: int | None


class DeferOptions(JobOptions, total=False):
    """Options of :meth:`Task.configure` and :func:`send_task`."""

    eta: dt.datetime | None
    countdown: float | None


class ScheduleOptions(JobOptions, total=False):
    """Options of :func:`periodic`."""

    task_kwargs: dict[str, Any]


def refuse_unknown(names: Iterable[str], known: Any) -> None:
    """Refuse an option that does not exist.

    :param known: the ``TypedDict`` of the options.
    :raises TypeError: there is no option of one of these names.
    """
    options = sorted(known.__optional_keys__)
    for name in names:
        if name not in options:
            raise TypeError(f"There is no option {name!r}: the options are {', '.join(options)}")


def job_options(
    queue: str | None = None,
    lock: str | None = None,
    queueing_lock: str | None = None,
    priority: int | None = None,
) -> dict[str, Any]:
    """Return the options that are given, in Procrastinate's words.

    :raises BackgroundError: an option is invalid.
    """
    options: dict[str, Any] = {}
    if queue is not None:
        options["queue"] = checked_queue(queue)
    if lock is not None:
        options["lock"] = checked_key(lock, "lock")
    if queueing_lock is not None:
        options["queueing_lock"] = checked_key(queueing_lock, "queueing_lock")
    if priority is not None:
        options["priority"] = _priority(priority)
    return options


def defer_options(
    *,
    eta: dt.datetime | None = None,
    countdown: float | None = None,
    **options: Unpack[JobOptions],
) -> dict[str, Any]:
    """Return the options that are given, in Procrastinate's words.

    :raises BackgroundError: an option is invalid.
    """
    refuse_unknown(options, DeferOptions)
    chosen = job_options(**options)
    at = start_time(eta, countdown)
    return {**chosen, "schedule_at": at} if at else chosen


def start_time(eta: dt.datetime | None, countdown: float | None) -> dt.datetime | None:
    """Return the time that one of the two gives; None if neither is given.

    :param eta: in UTC if it has no time zone.
    :raises BackgroundError: both are given, or one is no time.
    """
    if eta is not None and countdown is not None:
        raise BackgroundError("Give eta or countdown, not both")
    if countdown is not None:
        eta = _after(countdown)
    if eta is None:
        return None
    if not isinstance(eta, dt.datetime):
        raise BackgroundError(f"The eta {eta!r} is no datetime")
    eta = with_zone(eta)
    if eta.year not in YEARS:
        raise BackgroundError(
            f"The eta {eta.isoformat()} is beyond all times that can be read back"
        )
    return eta


def _after(seconds: float) -> dt.datetime:
    try:
        return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError) as error:
        raise BackgroundError(
            f"The countdown {seconds!r} is no number of seconds from now: {error}"
        ) from error


def with_zone(at: dt.datetime) -> dt.datetime:
    """Return a time with a time zone: UTC, as in CKAN's tables, if it has none."""
    return at if at.utcoffset() is not None else at.replace(tzinfo=dt.timezone.utc)


def checked_name(name: Any, what: str) -> str:
    """Return the name of a task, or the id of a schedule.

    :raises BackgroundError: the tables cannot hold it.
    """
    text = _text(name, what)
    if len(text) > MAX_NAME_LENGTH:
        raise BackgroundError(f"The {what} {name} is longer than {MAX_NAME_LENGTH} characters")
    return text


def checked_queue(name: Any) -> str:
    """Return the name of a queue.

    :raises BackgroundError: it is no text, or too long.
    """
    return checked_key(name, "queue", MAX_QUEUE_BYTES)


def checked_key(value: Any, what: str, max_bytes: int = _MAX_KEY_BYTES) -> str:
    """Return a queue, a lock or an id, by which the tables find jobs.

    :raises BackgroundError: it is no text, or has more than ``max_bytes``.
    """
    text = _text(value, what)
    if len(text.encode()) > max_bytes:
        raise BackgroundError(
            f"The {what} that begins {text[:_SHOWN]!r} is longer than {max_bytes} bytes"
        )
    return text


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BackgroundError(f"The {what} {value!r} is no string")
    return as_json(value, f"{what} {value[:_SHOWN]!r}")


def _priority(priority: Any) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise BackgroundError(f"The priority {priority!r} is no integer")
    if not -(2**31) <= priority < 2**31:
        raise BackgroundError(f"The priority {priority} is not within 32 bits")
    return int(priority)
