"""When workers defer periodic tasks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files import advisory_locks
from ckanext.files.background.app import app
from ckanext.files.background.periodic import forget_periodic, register_periodic
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker import schedule
from ckanext.files.background.worker.schedule import Schedule
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

BEGIN = 1_700_000_000
EACH_MINUTE = "* * * * *"


NIGHTLY = "30 2 * * *"

ASK_FOR_ONE = (
    f"INSERT INTO {SCHEMA}.procrastinate_jobs (queue_name, task_name, args, queueing_lock)"
    " VALUES ('default', 'another', '{}', 'one')"
)


class Clock:
    """The time as workers of the test have it."""

    def __init__(self) -> None:
        self.now = float(BEGIN)

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tasks: TasksManager) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    return clock


@pytest.fixture
def each_minute(clock: Clock) -> Iterator[None]:
    register_periodic(sample.note_time, EACH_MINUTE, "", {})
    yield
    forget_periodic(sample.note_time, "")


def _times(tasks: TasksManager, task: Any = sample.note_time) -> list[int]:
    args: list[Any] = [job["args"] for job in tasks.jobs.values() if job["task_name"] == task.name]
    return sorted(arguments["timestamp"] for arguments in args)


@pytest.fixture(autouse=True)
def no_defers(tasks: TasksManager) -> Iterator[None]:
    """What was deferred at the times of the test is forgotten."""
    yield
    for table in ("procrastinate_periodic_defers", "files_schedule"):
        model.Session.execute(sa.text(f"DELETE FROM {SCHEMA}.{table}"))
    model.Session.commit()


@pytest.mark.usefixtures("each_minute")
def test_worker_that_was_away(clock: Clock, tasks: TasksManager) -> None:
    """It does not defer again what another one has deferred meanwhile."""
    one, other = Schedule(), Schedule()
    one.defer()
    for _ in range(30):
        clock.now += 60
        other.defer()
    before = _times(tasks)
    assert len(before) == 30
    one.defer()
    assert _times(tasks) == before


@pytest.mark.usefixtures("each_minute")
def test_all_were_away(clock: Clock, tasks: TasksManager) -> None:
    """What is older than ten minutes is left out."""
    workers = [Schedule(), Schedule()]
    for _ in range(2):
        for worker in workers:
            worker.defer()
        clock.now += 60
    clock.now -= 60
    [first] = _times(tasks)
    clock.now += 3 * 3600
    for worker in workers:
        worker.defer()
    _, *later = _times(tasks)
    assert later == [first + 3 * 3600 - 60 * minutes for minutes in range(9, -1, -1)]


@pytest.mark.usefixtures("each_minute")
def test_another_worker_defers_at_the_moment(clock: Clock, tasks: TasksManager) -> None:
    """The worker does not wait for it, and tries again."""
    worker = Schedule()
    worker.defer()
    clock.now += 60
    with engine().begin() as connection:
        query = sa.text("SELECT pg_advisory_xact_lock(:key)")
        connection.execute(query, {"key": advisory_locks.SCHEDULES})
        worker.defer()
        assert _times(tasks) == []
    worker.defer()
    assert len(_times(tasks)) == 1


@pytest.mark.usefixtures("each_minute")
def test_queueing_lock_that_is_just_asked_for(
    clock: Clock, tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker does not wait for that commit, which may be hours away, and tries again."""
    register_periodic(sample.note_time, EACH_MINUTE, "", {"queueing_lock": "one"})
    worker = Schedule()
    worker.defer()
    clock.now += 60
    other: Any = engine().raw_connection()
    other.cursor().execute(ASK_FOR_ONE)
    worker.defer()
    other.close()
    assert _times(tasks) == []
    worker.defer()
    assert len(_times(tasks)) == 1
    assert not caplog.records


@pytest.mark.usefixtures("each_minute")
def test_one_that_cannot_be_deferred(
    clock: Clock, tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops no other, and is logged once."""
    broken: Any = app.periodic_registry.periodic_tasks[sample.note_time.name, ""]
    key = ("files_test_tasks.broken", "x" * 200)  # a name that the table cannot hold
    others = app.periodic_registry.periodic_tasks
    others[key] = type(broken)(broken.task, EACH_MINUTE, key[1], {}, broken.times)
    worker = Schedule()
    for _ in range(4):
        worker.defer()
        clock.now += 60
    assert len(_times(tasks)) == 3
    logged = [record for record in caplog.records if "could not be deferred" in record.message]
    assert len(logged) == 1


# schedules that are new


@pytest.mark.usefixtures("each_minute")
def test_first_start(clock: Clock, tasks: TasksManager) -> None:
    """The last time was before the schedule was there; the next one is its first."""
    Schedule().defer()
    assert _times(tasks) == []
    clock.now += 60
    Schedule().defer()  # another worker
    assert _times(tasks) == [BEGIN + 40]


@pytest.mark.usefixtures("each_minute")
def test_known_one_that_was_missed(clock: Clock, tasks: TasksManager) -> None:
    """A worker that starts makes up for the last time, within ten minutes."""
    Schedule().defer()
    clock.now += 300
    Schedule().defer()
    assert _times(tasks) == [BEGIN + 280]


@pytest.mark.parametrize(
    ("cron", "timezone"), [("*/2 * * * *", "UTC"), (EACH_MINUTE, "Europe/Berlin")]
)
@pytest.mark.usefixtures("each_minute")
def test_changed_one(cron: str, timezone: str, clock: Clock, tasks: TasksManager) -> None:
    """It is another schedule: what would have been its last time is none."""
    Schedule().defer()
    clock.now += 60
    Schedule().defer()
    before = _times(tasks)
    clock.now += 300
    register_periodic(sample.note_time, cron, "", {}, timezone)
    Schedule().defer()
    assert _times(tasks) == before
    clock.now += 120
    Schedule().defer()
    assert len(_times(tasks)) == len(before) + 1


# time zones


@pytest.mark.parametrize(
    ("evening", "night"),
    [
        ("2026-03-27T12:00+00:00", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
        ("2026-10-23T12:00+00:00", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
    ],
)
def test_clocks_change(evening: str, night: list[str], clock: Clock, tasks: TasksManager) -> None:
    """Each night has one, also the one whose half past two is skipped or comes twice."""
    register_periodic(sample.note_time, NIGHTLY, "", {}, "Europe/Berlin")
    clock.now = dt.datetime.fromisoformat(evening).timestamp()
    worker = Schedule()
    for _ in range(72 * 12):
        worker.defer()
        clock.now += 300
    found = [dt.datetime.fromtimestamp(at, dt.timezone.utc) for at in _times(tasks)]
    assert [f"{at:%m-%dT%H:%M}" for at in found] == night
    forget_periodic(sample.note_time, "")
