"""How many jobs there are, and how many end, in a time that depends on no table's size.

Read on a connection of the caller.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from .search import MOST
from .sql import query

MINUTES = 60
"""Of the rate."""

_OF_A_USER = 2000
"""Jobs of a user that are counted."""

_ENDS = 10_000
"""Ends of jobs that are counted for the rate."""


@dataclasses.dataclass(frozen=True)
class QueueCounts:
    """How many jobs of a queue are in which state, counted up to a limit."""

    queue: str
    jobs: dict[str, int]
    more: list[str]
    """States of which there are more jobs than these."""


@dataclasses.dataclass(frozen=True)
class Minute:
    """The jobs that ended in one minute."""

    at: dt.datetime
    """When the minute began."""

    succeeded: int = 0
    failed: int = 0


@dataclasses.dataclass(frozen=True)
class Rate:
    """The jobs that ended lately."""

    minutes: list[Minute]
    """The oldest first."""

    since: dt.datetime | None
    """None: all jobs were counted. Otherwise those that ended since then: too many to count all."""


def by_queue(connection: Any, user_id: str | None = None, most: int = MOST) -> list[QueueCounts]:
    """Return the queues with the numbers of their jobs, in a time that depends on no number.

    :param user_id: count the newest jobs of this user only.
    :param most: count up to this number in each state, without a user.
    """
    if user_id is None:
        values = {"most": most + 1}
        rows = connection.execute(query("counts_by_queue"), values).all()
        is_more = {(row.queue, row.state) for row in rows if row.count > most}
    else:
        values = {"most": _OF_A_USER, "user_id": user_id}
        rows = connection.execute(query("counts_of_user"), values).all()
        all_counted = sum(row.count for row in rows) < _OF_A_USER
        is_more = set() if all_counted else {(row.queue, row.state) for row in rows}
    jobs: dict[str, dict[str, int]] = {}
    for row in rows:
        jobs.setdefault(row.queue, {})[row.state] = min(row.count, most)
    return [
        QueueCounts(queue, states, [state for state in states if (queue, state) in is_more])
        for queue, states in jobs.items()
    ]


def due(connection: Any, working: Sequence[int], most: int = MOST) -> dict[str, int]:
    """Return by queue how many jobs could run now that no worker has, counted up to a limit.

    :param working: the ids of the workers that are alive.
    """
    values = {"working": list(working), "most": most}
    return dict(connection.execute(query("due_by_queue"), values).all())


def rate(connection: Any, user_id: str | None = None) -> Rate:
    """Return how many jobs ended in each minute of the last hour.

    :param user_id: of the newest jobs of this user only.
    """
    if user_id is None:
        values: dict[str, Any] = {"most": _ENDS}
        rows = connection.execute(query("ends_by_minute"), values).all()
    else:
        values = {"most": _OF_A_USER, "user_id": user_id}
        rows = connection.execute(query("ends_of_user_by_minute"), values).all()
    cut = user_id is None and sum(row.count for row in rows) >= _ENDS
    return Rate(_minutes(rows), min(row.oldest for row in rows) if cut else None)


def _minutes(rows: Sequence[Any]) -> list[Minute]:
    now = dt.datetime.now(dt.timezone.utc).replace(second=0, microsecond=0)
    ends = {(row.minute, row.type): row.count for row in rows}
    times = [now - dt.timedelta(minutes=ago) for ago in reversed(range(MINUTES))]
    return [Minute(at, ends.get((at, "succeeded"), 0), ends.get((at, "failed"), 0)) for at in times]
