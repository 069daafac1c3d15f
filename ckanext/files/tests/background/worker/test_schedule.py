"""When workers defer periodic tasks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from ckanext.files import advisory_locks
from ckanext.files.background.app import app
from ckanext.files.background.periodic import register_periodic
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker import schedule
from ckanext.files.background.worker.schedule import Schedule
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

BEGIN = 1_700_000_000
EACH_MINUTE = "* * * * *"


class Clock:
    """The time as workers of the test have it."""

    def __init__(self) -> None:
        self.now = float(BEGIN)

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """What was deferred at the times of the test is forgotten after it."""
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    yield clock
    for table in ("procrastinate_periodic_defers", "files_schedule"):
        change(f"DELETE FROM {SCHEMA}.{table}")


def register(cron: str = EACH_MINUTE, timezone: str = "UTC", **options: Any) -> None:
    register_periodic(sample.note_time, cron, "", options, timezone)


@pytest.fixture
def each_minute() -> None:
    register()


@pytest.fixture
def times(tasks: TasksManager) -> Any:
    """Return the times for which there are jobs."""

    def times() -> list[int]:
        return sorted(job["args"]["timestamp"] for job in tasks.jobs.values())

    return times


pytestmark = pytest.mark.usefixtures("each_minute")


def test_first_start(clock: Clock, times: Any) -> None:
    """The last time was before the schedule was there; the next one is its first."""
    Schedule().defer()
    assert times() == []
    clock.now += 60
    Schedule().defer()  # another worker
    assert times() == [BEGIN + 40]


def test_known_one_that_was_missed(clock: Clock, times: Any) -> None:
    """A worker that starts makes up for the last time, within ten minutes."""
    Schedule().defer()
    clock.now += 300
    Schedule().defer()
    assert times() == [BEGIN + 280]


@pytest.mark.parametrize(
    ("cron", "timezone"), [("*/2 * * * *", "UTC"), (EACH_MINUTE, "Europe/Berlin")]
)
def test_changed_one(cron: str, timezone: str, clock: Clock, times: Any) -> None:
    """It is another schedule: what would have been its last time is none."""
    Schedule().defer()
    clock.now += 60
    Schedule().defer()
    before = times()
    clock.now += 300
    register(cron, timezone)
    Schedule().defer()
    assert times() == before
    clock.now += 120
    Schedule().defer()
    assert len(times()) == len(before) + 1


def test_worker_that_was_away(clock: Clock, times: Any) -> None:
    """It does not defer again what another one has deferred meanwhile."""
    one, other = Schedule(), Schedule()
    one.defer()
    for _ in range(30):
        clock.now += 60
        other.defer()
    before = times()
    assert len(before) == 30
    one.defer()
    assert times() == before


def test_all_were_away(clock: Clock, times: Any) -> None:
    """What is older than ten minutes is left out."""
    workers = [Schedule(), Schedule()]
    for seconds in (0, 60, 3 * 3600):
        clock.now += seconds
        for worker in workers:
            worker.defer()
    first, *later = times()
    assert later == [first + 3 * 3600 - 60 * minutes for minutes in range(9, -1, -1)]


def test_another_worker_defers_at_the_moment(clock: Clock, times: Any) -> None:
    """The worker does not wait for it, and tries again."""
    worker = Schedule()
    worker.defer()
    clock.now += 60
    with engine().begin() as connection:
        query = sa.text("SELECT pg_advisory_xact_lock(:key)")
        connection.execute(query, {"key": advisory_locks.SCHEDULES})
        worker.defer()
        assert times() == []
    worker.defer()
    assert len(times()) == 1


def test_queueing_lock_that_is_just_asked_for(
    clock: Clock, times: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker does not wait for that commit, which may be hours away, and tries again."""
    register(queueing_lock="one")
    worker = Schedule()
    worker.defer()
    clock.now += 60
    connection: Any = engine().raw_connection()
    with closing(connection):
        connection.cursor().execute(
            f"INSERT INTO {SCHEMA}.procrastinate_jobs (queue_name, task_name, args, queueing_lock)"
            " VALUES ('default', 'another', '{}', 'one')"
        )
        worker.defer()
    assert times() == []
    worker.defer()
    assert len(times()) == 1
    assert not caplog.records


def test_one_that_cannot_be_deferred(
    clock: Clock, times: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops no other, and is logged once."""
    others: Any = app.periodic_registry.periodic_tasks
    sound = others[sample.note_time.name, ""]
    key = ("files_test_tasks.broken", "x" * 200)  # a name that the table cannot hold
    others[key] = type(sound)(sound.task, EACH_MINUTE, key[1], {}, sound.times)
    worker = Schedule()
    for _ in range(4):
        worker.defer()
        clock.now += 60
    assert len(times()) == 3
    logged = [record for record in caplog.records if "could not be deferred" in record.message]
    assert len(logged) == 1


@pytest.mark.parametrize(
    ("evening", "night"),
    [
        ("2026-03-27T12:00+00:00", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
        ("2026-10-23T12:00+00:00", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
    ],
)
def test_clocks_change(evening: str, night: list[str], clock: Clock, times: Any) -> None:
    """Each night has one, also the one whose half past two is skipped or comes twice."""
    register("30 2 * * *", "Europe/Berlin")
    clock.now = dt.datetime.fromisoformat(evening).timestamp()
    worker = Schedule()
    for _ in range(72 * 12):
        worker.defer()
        clock.now += 300
    found = [dt.datetime.fromtimestamp(at, dt.timezone.utc) for at in times()]
    assert [f"{at:%m-%dT%H:%M}" for at in found] == night
