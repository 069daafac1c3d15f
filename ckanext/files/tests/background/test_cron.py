"""The times of a cron expression, also where clocks are put on or back."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ckanext.files.background.cron import Cron
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


def at(text: str) -> int:
    """Return a time in UTC, such as ``2026-03-29 01:00``, in seconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc).timestamp())


def test_utc_unless_told_otherwise() -> None:
    assert Cron("0 3 * * *").next(at("2026-11-27 03:00")) == at("2026-11-28 03:00")


# 2:00 to 3:00 is skipped at 1:00 in UTC
ON = ("Europe/Berlin", "2026-03-28 00:30", "2026-03-30 08:00")
# 2:00 to 3:00 comes from 0:00 to 1:00 in UTC, and again until 2:00
BACK = ("Europe/Berlin", "2026-10-24 00:00", "2026-10-26 08:00")
# 2:00 is 1:30 again, so there is a full hour half an hour later
HALF_BACK = ("Australia/Lord_Howe", "2026-04-04 12:00", "2026-04-04 18:00")
# 2:00 is 2:30
HALF_ON = ("Australia/Lord_Howe", "2026-10-03 13:00", "2026-10-03 18:00")
MIDNIGHT_SKIPPED = ("Africa/Cairo", "2026-04-23 00:00", "2026-04-25 00:00")
# Samoa had no December 30: what was to be then is when it would have begun
DAY_SKIPPED = ("Pacific/Apia", "2011-12-29 00:00", "2012-01-01 00:00")


@pytest.mark.parametrize(
    ("clocks", "expression", "found"),
    [
        (ON, "0 9 * * *", "03-28 08:00, 03-29 07:00, 03-30 07:00"),
        (ON, "0 0 * * *", "03-28 23:00, 03-29 22:00"),
        (ON, "0 2 * * *", "03-28 01:00, 03-29 01:00, 03-30 00:00"),
        (ON, "30 2 * * *", "03-28 01:30, 03-29 01:00, 03-30 00:30"),
        (ON, "0 3 * * *", "03-28 02:00, 03-29 01:00, 03-30 01:00"),
        (ON, "30 1,2,3 29 * *", "03-29 00:30, 03-29 01:00, 03-29 01:30"),
        # all that is skipped, and what is then, is one
        (ON, "*/20 2-3 29 * *", "03-29 01:00, 03-29 01:20, 03-29 01:40"),
        (ON, "30 2 * * sun", "03-29 01:00"),
        (ON, "30 2 30 * *", "03-30 00:30"),
        (BACK, "0 9 * * *", "10-24 07:00, 10-25 08:00, 10-26 08:00"),
        (BACK, "0 1 * * *", "10-24 23:00, 10-26 00:00"),
        (BACK, "0 2 * * *", "10-25 00:00, 10-26 01:00"),
        (BACK, "30 2 * * *", "10-24 00:30, 10-25 00:30, 10-26 01:30"),
        (BACK, "0 3 * * *", "10-24 01:00, 10-25 02:00, 10-26 02:00"),
        (BACK, "*/30 2-3 25 * *", "10-25 00:00, 10-25 00:30, 10-25 02:00, 10-25 02:30"),
        (HALF_BACK, "0 * * * *", "04-04 13:00, 04-04 14:00, 04-04 15:30, 04-04 16:30, 04-04 17:30"),
        (HALF_ON, "0 * * * *", "10-03 13:30, 10-03 14:30, 10-03 16:00, 10-03 17:00, 10-03 18:00"),
        (MIDNIGHT_SKIPPED, "0 0 * * *", "04-23 22:00, 04-24 21:00"),
        (DAY_SKIPPED, "0 9 * * *", "12-29 19:00, 12-30 10:00, 12-30 19:00, 12-31 19:00"),
    ],
)
def test_clocks_change(clocks: tuple[str, str, str], expression: str, found: str) -> None:
    zone, since, until = clocks
    times = Cron(expression, zone).between(at(since), at(until))
    assert [f"{dt.datetime.fromtimestamp(t, dt.timezone.utc):%m-%d %H:%M}" for t in times] == (
        found.split(", ")
    )


@pytest.mark.parametrize("expression", ["*/20 * * * *", "*/20 0-23 * * *", "*/20 */1 * * *"])
@pytest.mark.parametrize(
    ("since", "hours"),
    [("2026-03-28 12:00", 36), ("2026-10-24 12:00", 36), ("2026-07-01 00:00", 3)],
)
def test_each_hour(expression: str, since: str, hours: int) -> None:
    """It goes on each 20 minutes, whatever the clocks do."""
    begin = at(since)
    found = list(Cron(expression, "Europe/Berlin").between(begin, begin + hours * 3600))
    assert found == [begin + 1200 * number for number in range(1, hours * 3 + 1)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns"])
@pytest.mark.parametrize(("since", "until"), [("03-01", "04-08"), ("10-20", "11-10")])
@pytest.mark.parametrize("expression", ["17 * * * *", "*/20 1-3 * * *", "30 2 * * 0", "15 2 l * *"])
def test_whole_weeks(zone: str, since: str, until: str, expression: str) -> None:
    """Each day's times are those of the wall; none is left out, none is twice, all in order."""
    clock = ZoneInfo(zone)

    def wall(seconds: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(seconds, clock).replace(tzinfo=None)

    def is_skipped(wall: dt.datetime) -> bool:
        there = wall.replace(tzinfo=clock).astimezone(dt.timezone.utc).astimezone(clock)
        return there.replace(tzinfo=None) != wall

    begin, end = at(f"2024-{since} 00:00"), at(f"2024-{until} 00:00")
    found = list(Cron(expression, zone).between(begin, end))
    assert found == sorted(set(found))
    walls = [wall(each) for each in found]
    fixed = Cron(expression).between(begin - 86400, found[-1] + 86400)
    expected = {dt.datetime.fromtimestamp(t, dt.timezone.utc).replace(tzinfo=None) for t in fixed}
    strange = [wall for wall in walls if wall not in expected]
    assert len(strange) <= 3  # at the moment when the clocks are put on
    missing = {wall for wall in expected if walls[0] <= wall <= walls[-1]} - set(walls)
    assert all(is_skipped(wall) for wall in missing)


@pytest.mark.parametrize(
    "expression",
    [
        *("R * * * *", "r * * * *", "R(1-5) * * * *", "R/5 * * * *", "* R(2-4)/2 * * *"),
        *("0 0 R * *", "0 0 * * r", "* * * * * R", "1,R * * * *"),
        *("H * * * *", "h(0-9)/3 * * * *"),
    ],
)
def test_times_by_chance_are_refused(expression: str) -> None:
    """H and R would be other times in each process."""
    with pytest.raises(ValueError):  # noqa: PT011 - croniter has words of its own for some
        Cron(expression)


@pytest.mark.parametrize(
    "expression", ["0 0 * mar fri", "0 0 * apr thu", "0 0 * * thu,fri", "@hourly", "0 0 l * *"]
)
def test_names_with_these_letters_are_taken(expression: str) -> None:
    assert Cron(expression).next(0) > 0


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Europe/Berlinn", "no time zone 'Europe/Berlinn', did you mean Europe/Berlin?"),
        *[(zone, f"no time zone {zone!r}") for zone in ("Mars", "", "Europe", None)],
        *[(zone, "no time zone") for zone in ("../../etc/passwd", "/etc/localtime", "+01:00")],
        (dt.timezone.utc, "no time zone"),
    ],
)
def test_zones_that_are_none(zone: Any, told: str) -> None:
    with pytest.raises(ValueError, match="there is") as raised:
        Cron("* * * * *", zone)
    assert told in str(raised.value)
