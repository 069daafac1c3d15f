"""How a job shall run: what can be said of it, in words that PostgreSQL can keep.

It is checked when it is said. PostgreSQL would refuse it, too, but a statement
that it refuses spoils the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from .errors import BackgroundError
from .values import as_json

LONGEST_NAME = 128
"""Characters of a name of a task, or of the id of a schedule."""

_LONGEST_QUEUE = 40
"""Bytes of a name of a queue: with 23 more it names a channel, which has 63 at most."""

_LONGEST_KEY = 1000
"""Bytes of a lock or an id: an index takes some more, and refuses what is three times as long."""

YEARS = range(2, 9999)
"""Those that are years for Python in each time zone."""


def job_options(
    queue: str | None = None,
    lock: str | None = None,
    queueing_lock: str | None = None,
    priority: int | None = None,
    eta: dt.datetime | None = None,
    countdown: float | None = None,
) -> dict[str, Any]:
    """Return the options of :meth:`Task.configure` that were given, in Procrastinate's words.

    :raises BackgroundError: one of them is not what it should be.
    """
    options = {
        "queue": queue if queue is None else checked_key(queue, "queue", _LONGEST_QUEUE),
        "lock": lock if lock is None else checked_key(lock, "lock"),
        "queueing_lock": (
            queueing_lock if queueing_lock is None else checked_key(queueing_lock, "queueing_lock")
        ),
        "priority": priority if priority is None else _priority(priority),
        "schedule_at": when(eta, countdown),
    }
    return {name: value for name, value in options.items() if value is not None}


def when(eta: dt.datetime | None, countdown: float | None) -> dt.datetime | None:
    """Return the time that one of the two names.

    :param eta: in UTC if it has no time zone.
    :raises BackgroundError: both are given, or one is no time.
    """
    if eta is not None and countdown is not None:
        raise BackgroundError("Give eta or countdown, not both")
    if countdown is not None:
        try:
            eta = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=countdown)
        except (TypeError, ValueError, OverflowError) as error:
            raise BackgroundError(
                f"The countdown {countdown!r} is no number of seconds from now: {error}"
            ) from error
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


def with_zone(at: dt.datetime) -> dt.datetime:
    """Return a time with a time zone; one that has none is in UTC, as CKAN's own are."""
    return at if at.utcoffset() is not None else at.replace(tzinfo=dt.timezone.utc)


def checked_name(name: Any, what: str) -> str:
    """Return the name of a task, or the id of a schedule.

    :raises BackgroundError: the tables cannot hold it.
    """
    text = _text(name, what)
    if len(text) > LONGEST_NAME:
        raise BackgroundError(f"The {what} {name} is longer than {LONGEST_NAME} characters")
    return text


def checked_key(value: Any, what: str, most: int = _LONGEST_KEY) -> str:
    """Return what jobs are found by: a queue, a lock, an id.

    :param most: bytes that it may have.
    :raises BackgroundError: it is no text, or longer.
    """
    text = _text(value, what)
    if len(text.encode()) > most:
        raise BackgroundError(f"The {what} that begins {text[:40]!r} is longer than {most} bytes")
    return text


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BackgroundError(f"The {what} {value!r} is no string")
    return as_json(value, f"{what} {value!r}")


def _priority(priority: Any) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise BackgroundError(f"The priority {priority!r} is no integer")
    if not -(2**31) <= priority < 2**31:
        raise BackgroundError(f"The priority {priority} is not within 32 bits")
    return int(priority)
