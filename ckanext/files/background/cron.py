"""The times that a cron expression names, in a time zone.

When clocks are set forward, a time of day that they skip counts as the moment of
the change. When clocks are set back, a time of day that comes twice counts as the
first of the two. So a schedule for half past two each night runs once each night.
A schedule of every hour follows the clock: it runs in both hours of the same name.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter

from ckanext.files.hint import similar_name

UTC = "UTC"

_MAX_FIELDS = 6
_HOUR = 1
"""The place of the hours among the fields."""

_RANDOM = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)
"""croniter's H and R, alone, with a range, or with a divisor."""


class Cron:
    """A cron expression in a time zone. Its times are in seconds since 1970.

    :raises ValueError: the expression or the time zone is invalid, the expression
        names other times in each process, or names no time, such as February 30.
    """

    def __init__(self, expression: str, timezone: str = UTC) -> None:
        self.expression = expression
        self.timezone = timezone
        self._zone = find_zone(timezone)
        if _RANDOM.search(expression):
            raise ValueError("H and R would be other times in each process")
        cron = croniter(expression)
        if len(expression.split()) > _MAX_FIELDS:
            raise ValueError("a year comes once")
        # raises if there is no time: a worker that found that out would defer no other schedule
        cron.get_next()
        self._each_hour = cron.expanded[_HOUR] == ["*"]

    def between(self, since: float, until: float) -> Iterator[int]:
        """Yield the times after ``since`` and up to ``until``."""
        at = self.next(since)
        while at <= until:
            yield at
            at = self.next(at)

    def next(self, since: float) -> int:
        """Return the first time after ``since``."""
        after = int(since)
        return self._next_of_clock(after) if self._each_hour else self._next_of_day(after)

    def local(self, at: int) -> dt.datetime:
        """Return a time as the clocks of the zone show it."""
        return dt.datetime.fromtimestamp(at, self._zone)

    def _next_of_day(self, after: int) -> int:
        times = croniter(self.expression, self.local(after).replace(tzinfo=None))
        # in the second of two equal hours: skip the times that have come already
        while (found := self._first(times.get_next(dt.datetime))) <= after:
            pass
        return found

    def _first(self, local: dt.datetime) -> int:
        """Return the moment at which the clocks first show a time, or skip it."""
        found = int(local.replace(tzinfo=self._zone).timestamp())
        if self.local(found).replace(tzinfo=None) == local:
            return found
        # the clocks skip it: with the offset of either side it lies on the other side
        before = int(local.replace(tzinfo=self._zone, fold=1).timestamp())
        return self._change(before, found)

    def _next_of_clock(self, after: int) -> int:
        offset = self._offset(after)
        times = croniter(self.expression, _naive(after + offset))
        while True:
            found = _seconds(times.get_next(dt.datetime)) - offset
            if self._offset(found) == offset:
                return found
            # go on from the change with the new offset; the change itself may be a time
            change = self._change(after, found)
            offset = self._offset(change)
            times = croniter(self.expression, _naive(change + offset - 1))
            after = change

    def _offset(self, at: int) -> int:
        offset = self.local(at).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    def _change(self, before: int, after: int) -> int:
        """Return the first second whose offset differs from the offset of ``before``."""
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after


def find_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name in the IANA database.

    :raises ValueError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        similar = similar_name(str(name), available_timezones())
        hint = f", did you mean {similar}?" if similar else ": write one such as Europe/Berlin"
        raise ValueError(f"there is no time zone {name!r}{hint}") from None


def _naive(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc).replace(tzinfo=None)


def _seconds(naive: dt.datetime) -> int:
    return int(naive.replace(tzinfo=dt.timezone.utc).timestamp())
