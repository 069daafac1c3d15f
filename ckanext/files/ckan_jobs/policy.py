"""What the site's configuration determines about functions: retries, and which are one commit.

As with RQ, a job that fails is not tried again unless it was asked for with ``retry``, and
what its function commits is real. Options change both, by function and by queue.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from ckan.common import config
from rq.utils import import_attribute

from .errors import PolicyError

RETRIES = "ckanext.files.jobs.retries"
WAIT = "ckanext.files.jobs.retry_wait"
ATOMIC = "ckanext.files.jobs.atomic"

_MAX_TASK = 128
"""Characters of a path that a job's row has."""


def check() -> None:
    """:raises PolicyError: an option has no meaning."""
    _retries()
    for path in config[ATOMIC]:
        if not all(part.isidentifier() for part in path.split(".")) or "." not in path:
            raise PolicyError(
                f"{ATOMIC}: {path!r} is no path of a function, such as ckanext.example.jobs.work"
            )


def without_function() -> list[str]:
    """Return a sentence about each path in the options that names no function.

    It imports the modules, which only workers need. A queue, too, may have a name with dots.
    """
    paths = [(ATOMIC, path, "") for path in config[ATOMIC]]
    paths += [(RETRIES, name, ", unless it is a queue") for name in _retries() if "." in name]
    return [
        f"{option}: {path} names no function{unless}: {error}"
        for option, path, unless in paths
        if (error := _flaw(path))
    ]


def _flaw(path: str) -> str | None:
    try:
        found = import_attribute(path)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return None if callable(found) else f"it is of type {type(found).__name__}"


def is_atomic(task: str) -> bool:
    """Return whether a function is one commit with the end of its job.

    :param task: its path, as far as a row has it.
    """
    return task in [path[:_MAX_TASK] for path in config[ATOMIC]]


def next_try(job: Any, queue: str, retries: int) -> dt.datetime | None:
    """Return when to try a job again that has failed; None for never.

    :param queue: without the prefix that RQ's name of it has.
    :param retries: how often that was done before.
    """
    if job.retries_left is not None:
        return after_retries(job.retries_left, job.retry_intervals, retries)
    numbers = _retries()
    default = numbers.get("", 0)
    most = numbers.get(job.task_name, numbers.get(queue, default))
    return after_retries(most, [config[WAIT]], retries)


def after_retries(most: int, intervals: Sequence[int] | None, retries: int) -> dt.datetime | None:
    """Return when a job is tried again that may be tried so often; None for never.

    :param intervals: seconds before each retry; the first one is repeated if there are too few.
    """
    left = most - retries
    if left <= 0:
        return None
    seconds = intervals[max(len(intervals) - left, 0)] if intervals else 0
    return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds)


def _retries() -> dict[str, int]:
    """Return the numbers of retries by function or queue, for all others by an empty name.

    :raises PolicyError: an item is not of that form, or a name has two numbers.
    """
    numbers: dict[str, int] = {}
    for item in config[RETRIES]:
        name, _, number = item.rpartition("=")
        if not (number.isascii() and number.isdigit()) or item.startswith("="):
            raise PolicyError(
                f"{RETRIES}: {item!r} is neither a number nor NAME=NUMBER, such as xloader=3"
            )
        if name in numbers:
            raise PolicyError(f"{RETRIES}: there are two numbers for {name or 'all others'}")
        numbers[name] = int(number)
    return numbers
