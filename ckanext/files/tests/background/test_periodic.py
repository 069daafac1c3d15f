"""Schedules: cron expressions, definitions, and when workers defer the jobs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from ckanext.files import advisory_locks
from ckanext.files.background import Task, TaskDefinitionError, manager, periodic
from ckanext.files.background.app import app
from ckanext.files.background.cron import Cron
from ckanext.files.background.periodic import register_periodic
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker import schedule
from ckanext.files.background.worker.schedule import Schedule
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NAME = f"{__name__}.clean"
BEGIN = 1_700_000_000
EACH_MINUTE = "* * * * *"


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """The schedules of a test."""
    registry: dict[Any, Any] = {}
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", registry)
    return registry


# the times of a cron expression, also where clocks are put on or back


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
def test_days_when_clocks_change(clocks: tuple[str, str, str], expression: str, found: str) -> None:
    zone, since, until = clocks
    times = Cron(expression, zone).between(at(since), at(until))
    assert [f"{dt.datetime.fromtimestamp(t, dt.timezone.utc):%m-%d %H:%M}" for t in times] == (
        found.split(", ")
    )


@pytest.mark.parametrize("expression", ["*/20 * * * *", "*/20 0-23 * * *", "*/20 */1 * * *"])
@pytest.mark.parametrize("since", ["2026-03-28 12:00", "2026-10-24 12:00"])
def test_each_hour(expression: str, since: str) -> None:
    """It goes on each 20 minutes, whatever the clocks do."""
    begin = at(since)
    found = list(Cron(expression, "Europe/Berlin").between(begin, begin + 36 * 3600))
    assert found == [begin + 1200 * number for number in range(1, 36 * 3 + 1)]


@pytest.mark.parametrize(
    "expression",
    [
        *("R * * * *", "R(1-5) * * * *", "R/5 * * * *", "0 0 * * r", "1,R * * * *"),
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


# definitions


@pytest.fixture
def clean(make_task: Any) -> Task[Any]:
    @make_task
    def clean(timestamp: int, after: Any = None) -> None: ...

    return clean


def test_two_schedules_of_one_task(clean: Task[Any], registry: dict[Any, Any]) -> None:
    often = manager.periodic(cron="*/5 * * * * *", periodic_id="often", queue="slow")
    assert manager.periodic(cron="0 * * * *")(often(clean)) is clean
    crons = {key: schedule.cron for key, schedule in registry.items()}
    assert crons == {(NAME, ""): "0 * * * *", (NAME, "often"): "*/5 * * * * *"}
    # the first one would be lost without a word
    with pytest.raises(TaskDefinitionError, match=rf"{NAME} .*periodic_id ''"):
        periodic(cron="30 * * * *")(clean)
    assert {key: schedule.cron for key, schedule in registry.items()} == crons


def test_a_module_that_is_reloaded(make_task: Any, registry: dict[Any, Any]) -> None:
    for cron in ("1 * * * *", "2 * * * *"):

        @periodic(cron=cron)
        @make_task
        def clean(timestamp: int) -> None: ...

        assert registry[NAME, ""].cron == cron


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"cron": "every day"}, "'every day' of task .*clean"),
        ({"cron": ""}, "''"),
        ({"cron": "0 0 30 2 *"}, "'0 0 30 2 .' of task .*clean cannot be: failed to find"),
        ({"cron": "0 0 1 1 * 0 2099"}, "a year comes once"),
        ({"cron": "R * * * *"}, "'R .* of task .*clean cannot be: H and R would be other times"),
        ({"timezone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"priority": "high"}, "priority 'high'"),
        ({"periodic_id": "x" * 129}, "periodic_id x+ is longer than 128"),
        ({"periodic_id": 5}, "periodic_id 5 is no string"),
        ({"countdown": 60}, "countdown: cron gives the times"),
        ({"eta": dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc)}, "eta"),
        ({"colour": "red"}, "colour"),
        ({"task_kwargs": {"when": 1}}, "when"),
        ({"task_kwargs": {"after": {1}}}, "'after' of task .*set"),
    ],
    ids=lambda each: str(each)[:50],
)
def test_schedules_that_are_wrong(
    options: Any, culprit: str, clean: Any, registry: dict[Any, Any]
) -> None:
    with pytest.raises(TaskDefinitionError, match=culprit) as raised:
        periodic(**{"cron": "* * * * *"} | options)(clean)
    assert NAME in str(raised.value)
    assert registry == {}


def test_arguments_and_options_are_what_jobs_keep(make_task: Any, registry: Any) -> None:
    """What cannot be written as it was given would stop all schedules."""

    @make_task(queue="slow", lock="one")
    def clean(timestamp: int, after: Any) -> None: ...

    arguments = {"after": sample.write("x")}
    periodic(cron="* * * * *", priority=3, lock=None, task_kwargs=arguments)(clean)
    kept = registry[NAME, ""].configure_kwargs
    assert kept["task_kwargs"]["after"] == sample.write("x").as_json()
    assert (kept["queue"], kept["lock"], kept["priority"]) == ("slow", "one", 3)
    assert arguments == {"after": sample.write("x")}


def test_what_can_have_no_schedule(clean: Any) -> None:
    """A task without the timestamp, and what is below the task instead of above."""
    for task, culprit in (
        (sample.noop, r"sample\.noop.*timestamp"),
        (clean.function, r"@periodic goes above @task: .*function"),
        (clean(1), r"@periodic goes above @task: .*clean\(.*\) is no"),
    ):
        with pytest.raises(TaskDefinitionError, match=culprit):
            periodic(cron="0 * * * *")(task)


# when workers defer


def register(cron: str = EACH_MINUTE, timezone: str = "UTC", **options: Any) -> None:
    register_periodic(sample.note_time, cron, "", options, timezone)


class Clock:
    """The time as workers of the test have it."""

    def __init__(self) -> None:
        self.now = float(BEGIN)

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock beside a schedule of each minute; what was deferred by it is forgotten then."""
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    register()
    yield clock
    for table in ("procrastinate_periodic_defers", "files_schedule"):
        change(f"DELETE FROM {SCHEMA}.{table}")


@pytest.fixture
def times(tasks: TasksManager) -> Any:
    """Return the times for which there are jobs."""

    def times() -> list[int]:
        return sorted(job["args"]["timestamp"] for job in tasks.jobs.values())

    return times


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
    clock: Clock, times: Any, registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops no other, and is logged once."""
    sound = registry[sample.note_time.name, ""]
    key = ("files_test_tasks.broken", "x" * 200)  # a name that the table cannot hold
    registry[key] = type(sound)(sound.task, EACH_MINUTE, key[1], {}, sound.times)
    worker = Schedule()
    for _ in range(4):
        worker.defer()
        clock.now += 60
    assert len(times()) == 3
    logged = [record for record in caplog.records if "could not be deferred" in record.message]
    assert len(logged) == 1


def test_clocks_change(clock: Clock, times: Any) -> None:
    """Each night has one, also the one whose half past two is skipped."""
    register("30 2 * * *", "Europe/Berlin")
    clock.now = at("2026-03-27 12:00")
    worker = Schedule()
    for _ in range(72 * 6):
        worker.defer()
        clock.now += 600
    assert times() == [at(f"2026-03-{night}") for night in ("28 01:30", "29 01:00", "30 00:30")]
