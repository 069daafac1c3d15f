"""Deferring: the commit of the caller writes the job, or nothing does."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import random
import string
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import IntegrityError

from ckanext.files.background import (
    AlreadyEnqueuedError,
    ArgumentError,
    BackgroundError,
    Job,
    NotInstalledError,
    manager,
    schema,
    send_task,
)
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.shared import on_commit
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, count_commits, engine, look, watch
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_background", "files_test_probe")

UTC = dt.timezone.utc

BOTH = (
    "SELECT EXISTS (SELECT FROM files_test_effect WHERE name = :name),"
    f" (SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE args::text LIKE '%' || :name || '%')"
)

CLOSE = dt.timedelta(seconds=30)


class Grade(enum.IntEnum):
    """Priorities."""

    TOO_HIGH = 2**31


def committed_jobs() -> int:
    return look(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs")


async def awaited(name: str) -> Job:
    return await sample.write.defer(name)


WAYS: dict[str, Callable[[str], Any]] = {
    "delay": lambda name: sample.write.delay(name),
    "defer": lambda name: sample.write.defer(name=name),
    "await defer": lambda name: asyncio.run(awaited(name)),
    "defer_sync": lambda name: sample.write.defer_sync(name),
    "configure": lambda name: sample.write.configure(priority=3, lock=name).delay(name),
    "configure defer": lambda name: sample.write.configure(queue="q").defer(name),
    "configure defer_sync": lambda name: sample.write.configure(countdown=9).defer_sync(name),
    "batch_defer": lambda name: sample.write.batch_defer({"name": name})[0],
    "queueing_lock": lambda name: sample.write.configure(queueing_lock=name).delay(name),
    "send_task": lambda name: send_task(sample.write.name, [name], task_id=name),
    "send_task of another": lambda name: manager.send_task("files.test.elsewhere", [name]),
}

each_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


@each_way
def test_job_and_change_become_visible_together(
    ask: Callable[[str], Job], effects: Effects, unique: Any
) -> None:
    name = unique("job")
    with watch(BOTH, name=name) as seen, count_commits() as commits:
        job = ask(name)
        effects.write(name)
        time.sleep(0.02)
        assert commits == []
        model.Session.commit()
    assert seen == {(False, 0), (True, 1)}
    assert len(commits) == 1
    assert isinstance(job, Job)
    assert (
        look(f"SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = {job.id}") == "todo"
    )


@each_way
def test_rollback(ask: Callable[[str], Job], effects: Effects, unique: Any) -> None:
    name = unique("job")
    with watch(BOTH, name=name) as seen:
        effects.write(name)
        ask(name)
        model.Session.rollback()
        model.Session.commit()
    assert seen == {(False, 0)}


@each_way
def test_rollback_of_a_savepoint(ask: Callable[[str], Job], effects: Effects, unique: Any) -> None:
    name = unique("job")
    effects.write(name)
    savepoint = model.Session.begin_nested()
    ask(name)
    savepoint.rollback()
    model.Session.commit()
    assert effects.exists(name)
    assert committed_jobs() == 0


@each_way
def test_session_that_is_dropped(ask: Callable[[str], Job], unique: Any) -> None:
    """As at the end of a failed request."""
    ask(unique("job"))
    model.Session.remove()
    assert committed_jobs() == 0


def test_pending_objects_come_first(unique: Any) -> None:
    """Deferring sends pending objects first: if the database refuses them, there is no job."""
    user = factories.User()
    model.Session.add(model.User(name=user["name"], email=f"{unique('mail')}@example.com"))
    with pytest.raises(IntegrityError):
        sample.noop.delay()
    model.Session.rollback()
    assert committed_jobs() == 0


def test_each_thread_has_its_own(unique: Any) -> None:
    def other() -> None:
        sample.noop.delay()
        model.Session.remove()

    sample.noop.delay()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    model.Session.commit()
    assert committed_jobs() == 1


def test_defer_writes_at_the_call_and_awaiting_gives_the_job(tasks: TasksManager) -> None:
    async def ask() -> None:
        job = sample.noop.defer()
        assert list(tasks.jobs) == [job.id]
        assert await job is job
        assert await job is job
        assert list(tasks.jobs) == [job.id]

    asyncio.run(ask())


def test_on_commit_sees_the_job(tasks: TasksManager) -> None:
    seen: list[int] = []
    sample.noop.delay()
    on_commit(lambda: seen.append(committed_jobs()))
    model.Session.commit()
    assert seen == [1]


def test_what_configure_says(tasks: TasksManager) -> None:
    eta = dt.datetime(2030, 1, 2, 3, 4, 5, 678901, dt.timezone(dt.timedelta(hours=2)))
    job = sample.write.configure(
        queue="slow", lock="a lock", queueing_lock="one", priority=-7, eta=eta
    ).delay("x")
    assert tasks.jobs[job.id] == {
        "id": job.id,
        "queue_name": "slow",
        "task_name": sample.write.name,
        "lock": "a lock",
        "queueing_lock": "one",
        "args": {"name": "x"},
        "status": "todo",
        "scheduled_at": eta,
        "attempts": 0,
    }
    assert priority_of(job) == -7


def test_what_the_task_says_holds_unless_configured(define: Any, tasks: TasksManager) -> None:
    module = define("""
        @task(queue="slow", lock="a", queueing_lock="b", priority=5)
        def echo(): ...
    """)
    job = module.echo.configure(queueing_lock="c", priority=0).delay()
    row = tasks.jobs[job.id]
    assert (row["queue_name"], row["lock"], row["queueing_lock"]) == ("slow", "a", "c")
    assert priority_of(job) == 0
    job = send_task("files_test_tasks.echo", queue="fast")
    row = tasks.jobs[job.id]
    assert (row["queue_name"], row["lock"], row["queueing_lock"]) == ("fast", "a", "b")
    assert priority_of(job) == 5


def test_countdown(tasks: TasksManager) -> None:
    job = sample.noop.configure(countdown=3600).delay()
    wanted = dt.datetime.now(UTC) + dt.timedelta(hours=1)
    assert abs(tasks.jobs[job.id]["scheduled_at"] - wanted) < CLOSE
    assert tasks.run_pending_jobs().steps == 0


def test_time_without_a_time_zone(tasks: TasksManager) -> None:
    """It is in UTC, as in CKAN's tables."""
    job = sample.noop.configure(eta=dt.datetime(2030, 1, 2, 9)).delay()
    assert tasks.jobs[job.id]["scheduled_at"] == dt.datetime(2030, 1, 2, 9, tzinfo=UTC)
    job = send_task(sample.noop.name, eta=dt.datetime(2030, 1, 2, 9))
    assert tasks.jobs[job.id]["scheduled_at"] == dt.datetime(2030, 1, 2, 9, tzinfo=UTC)


def test_times_in_the_past_and_to_come(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    past, present = unique("past"), unique("present")
    yesterday = dt.datetime.now(UTC) - dt.timedelta(days=1)
    sample.write.configure(eta=yesterday).delay(past)
    sample.write.configure(countdown=-1).delay(present)
    sample.write.configure(eta=dt.datetime.now(UTC) + dt.timedelta(days=1)).delay(unique("later"))
    assert tasks.run_pending_jobs().steps == 2
    assert effects.exists(past)
    assert effects.exists(present)
    assert len(tasks.pending_jobs) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"eta": "2030-01-01T00:00:00Z"}, "'2030-01-01T00:00:00Z' is no datetime"),
        ({"eta": dt.date(2030, 1, 1)}, "is no datetime"),
        ({"eta": dt.datetime.now(UTC), "countdown": 1}, "eta or countdown, not both"),
        ({"eta": dt.datetime.max.replace(tzinfo=UTC)}, "beyond all times"),
        ({"eta": dt.datetime.min.replace(tzinfo=UTC)}, "beyond all times"),
        ({"countdown": "3"}, "countdown '3' is no number"),
        ({"countdown": float("nan")}, "countdown nan is no number"),
        ({"countdown": 1e30}, r"countdown 1e\+30 is no number"),
        ({"queue": "q" * 41}, "queue that begins 'q+' is longer than 40 bytes"),
        ({"queue": "ü" * 21}, "queue .* longer than 40 bytes"),
        ({"queue": 5}, "queue 5 is no string"),
        ({"lock": "a\0b"}, "lock .* NUL"),
        ({"lock": "l" * 1001}, "lock that begins .* longer than 1000 bytes"),
        ({"queueing_lock": "ü" * 501}, "queueing_lock .* longer than 1000 bytes"),
        ({"queueing_lock": "\ud800"}, "surrogate"),
        ({"priority": 2**31}, "priority 2147483648 is not within 32 bits"),
        ({"priority": Grade.TOO_HIGH}, "is not within 32 bits"),
        ({"priority": 1.5}, "priority 1.5 is no integer"),
        ({"priority": True}, "priority True is no integer"),
    ],
)
def test_options_that_are_wrong(options: Any, reason: str, tasks: TasksManager) -> None:
    """The call refuses them, and the transaction goes on."""
    sample.noop.delay()
    for ask in (
        lambda: sample.noop.configure(**options).delay(),
        lambda: send_task(sample.noop.name, **options),
        lambda: send_task("files.test.elsewhere", **options),
    ):
        with pytest.raises(BackgroundError, match=reason):
            ask()
    model.Session.commit()
    assert committed_jobs() == 1


def test_the_longest_options(tasks: TasksManager) -> None:
    """PostgreSQL takes them, also random text, which it cannot compress."""
    key = "".join(random.Random(1).choices(string.ascii_letters, k=1000))
    options: Any = {"queue": "ü" * 20, "lock": key, "queueing_lock": key}
    send_task(sample.noop.name, task_id=key, **options)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert [job["lock"] for job in tasks.succeeded_jobs] == [key]


def test_priority_of_a_class_derived_from_int(define: Any, tasks: TasksManager) -> None:
    """It is compared with the bounds, and kept as a plain integer."""
    module = define("""
        import enum

        class Grade(enum.IntEnum):
            LOW = -(2**31)
            HIGH = 2**31 - 1

        @task(priority=Grade.LOW)
        def echo(): ...
    """)
    assert priority_of(module.echo.delay()) == -(2**31)
    assert priority_of(module.echo.configure(priority=module.Grade.HIGH).delay()) == 2**31 - 1
    assert type(module.echo.options["priority"]) is int


def test_options_that_there_are_not() -> None:
    for ask in (
        sample.noop.configure,
        lambda **options: send_task(sample.noop.name, **options),
    ):
        with pytest.raises(TypeError, match="schedule_in"):
            ask(schedule_in={"seconds": 1})  # pyright: ignore[reportCallIssue]


def test_batch(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    names = [unique("job") for _ in range(50)]
    deferrer = sample.write.configure(queue="many", priority=2)
    jobs = deferrer.batch_defer(*[{"name": name} for name in names])
    assert [tasks.jobs[job.id]["args"]["name"] for job in jobs] == names
    assert {row["queue_name"] for row in tasks.jobs.values()} == {"many"}
    assert tasks.run_pending_jobs().steps == 50
    assert all(effects.exists(name) for name in names)


def test_jobs_run_by_priority_then_in_order(define: Any, tasks: TasksManager) -> None:
    module = define("""
        ran = []

        @task
        def note(number):
            ran.append(number)
    """)
    for number, priority in enumerate([0, -1, 5, 0, 5]):
        module.note.configure(priority=priority).delay(number)
    tasks.run_pending_jobs()
    assert module.ran == [2, 4, 0, 3, 1]


def test_send_task(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    """With the arguments of Celery, as in text B of docs/testing/promises.rst."""
    name, task_id = unique("job"), str(uuid.uuid4())
    job = send_task(sample.write.name, args=[name], task_id=task_id)
    assert job.task_id == task_id
    assert tasks.jobs[job.id]["args"] == {"name": name}
    assert task_id_of(job) == task_id
    again = manager.send_task(
        sample.write.name, kwargs={"name": f"{name}-2"}, task_id=str(uuid.uuid4())
    )
    assert again.task_id == task_id_of(again) != task_id
    tasks.run_pending_jobs()
    assert effects.exists(name)
    assert effects.exists(f"{name}-2")


def test_send_task_that_this_process_does_not_know(define: Any, tasks: TasksManager) -> None:
    """The worker knows it, and binds the arguments."""
    job = send_task("files_test_tasks.echo", [1, 2], {"c": 3, "d": 4}, queue="far", priority=1)
    assert tasks.jobs[job.id]["args"] == {"c": 3, "d": 4, "*": [1, 2]}
    assert tasks.jobs[job.id]["queue_name"] == "far"
    send_task("files_test_tasks.echo", [1, 2, 3, 4, 5])
    module = define("""
        ran = []

        @task
        def echo(a, b, c, d):
            ran.append((a, b, c, d))
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(1, 2, 3, 4)]
    assert [job["status"] for job in tasks.finished_jobs] == ["succeeded", "failed"]


@pytest.mark.parametrize(
    ("name", "task_id", "reason"),
    [
        *((name, None, "name of a task") for name in ("x" * 129, "a\0b", 5, None)),
        *((sample.noop.name, task_id, "task_id") for task_id in ("a\0b", "\ud800", "x" * 1001)),
    ],
)
def test_send_task_with_an_impossible_name(name: Any, task_id: Any, reason: str) -> None:
    with pytest.raises(BackgroundError, match=reason):
        send_task(name, task_id=task_id)
    model.Session.commit()
    assert committed_jobs() == 0


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_task_id_that_is_taken(
    commit: bool, known: bool, effects: Effects, unique: Any, tasks: TasksManager
) -> None:
    """The second job is refused, and the transaction goes on without it."""
    name, task_id = unique("job"), unique("id")
    task_name = sample.write.name if known else "files.test.elsewhere"
    first = send_task(task_name, [name], task_id=task_id)
    if commit:
        model.Session.commit()
    with pytest.raises(ArgumentError, match=task_id):
        send_task(task_name, [f"{name}-2"], task_id=task_id)
    effects.write(name)
    model.Session.commit()
    assert effects.exists(name)
    assert list(tasks.jobs) == [first.id]


@pytest.mark.parametrize("empty", [False, True])
def test_queueing_lock(empty: bool, effects: Effects, unique: Any, tasks: TasksManager) -> None:
    """One waits at a time; after a second request the transaction goes on."""
    name, lock = unique("job"), "" if empty else unique("lock")
    one = sample.noop.configure(queueing_lock=lock)
    first = one.delay()
    effects.write(name)
    for _ in range(2):
        with pytest.raises(AlreadyEnqueuedError, match=lock):
            one.delay()
    with pytest.raises(AlreadyEnqueuedError, match=lock):
        sample.noop.configure(queueing_lock=lock).batch_defer({}, {})
    sample.noop.configure(queueing_lock=f"{lock}-2").delay()
    model.Session.commit()
    assert effects.exists(name)
    assert len(tasks.jobs) == 2
    tasks.run_pending_jobs()
    assert one.delay().id > first.id


def test_queueing_lock_within_an_action(hooks: Any, effects: Effects, unique: Any) -> None:
    name, user = unique("name"), new_user()

    def ask(*_: Any) -> None:
        sample.noop.configure(queueing_lock=name).delay()
        with pytest.raises(AlreadyEnqueuedError):
            sample.noop.configure(queueing_lock=name).delay()
        effects.write(name)

    hooks["before:package_create"] = ask
    with count_commits() as commits:
        tk.get_action("package_create")({"user": user}, {"name": name})
    assert len(commits) == 1
    assert effects.exists(name)
    assert committed_jobs() == 1


def test_who_asked_over_http(app: Any, hooks: Any, tasks: TasksManager, unique: Any) -> None:
    user = factories.User(email=f"{unique('mail')}@example.com")
    token = factories.APIToken(user=user["name"])["token"]
    asked: list[Job] = []
    name = unique("job")

    def ask(*_: Any) -> None:
        asked.append(sample.remember.delay(name))
        asked.extend(sample.remember.batch_defer({"name": f"{name}-b"}))
        asked.append(send_task("files.test.elsewhere", task_id=name))

    hooks["after_dataset_create"] = ask
    answer = app.post(
        "/api/3/action/package_create",
        json={"name": unique("dataset"), "owner_org": None},
        headers={"Authorization": token},
    )
    assert answer.status_code == 200, answer.body
    assert {job.user_id for job in asked} == {user["id"]}
    assert {user_of(job) for job in asked} == {user["id"]}
    tasks.run_pending_jobs()
    assert look(
        "SELECT EXISTS (SELECT FROM files_test_effect WHERE name = :name)",
        name=f"{name}-{asked[0].id}-{user['id']}",
    )


def test_nobody_asked(app: Any, tasks: TasksManager) -> None:
    """In a script, and in a request without a login."""
    jobs = [sample.noop.delay()]
    with app.flask_app.test_request_context():
        jobs.append(sample.noop.delay())
        model.Session.commit()
    assert [job.user_id for job in jobs] == [None, None]
    assert [user_of(job) for job in jobs] == [None, None]


def test_jobs_of_a_job_are_its_users(app: Any, define: Any, tasks: TasksManager) -> None:
    module = define("""
        jobs = []

        @task
        def ask(more):
            if more:
                jobs.append(ask.delay(more - 1))
    """)
    user = factories.Sysadmin(email=f"{uuid.uuid4()}@example.com")
    with app.flask_app.test_request_context(
        headers={"Authorization": factories.APIToken(user=user["name"])["token"]}
    ):
        first = module.ask.delay(2)
        model.Session.commit()
    assert first.user_id == user["id"]
    module.ask.delay(1)
    tasks.run_pending_jobs()
    assert len(tasks.succeeded_jobs) == 5
    assert sorted(job.user_id or "" for job in module.jobs) == ["", user["id"], user["id"]]
    assert {user_of(job) for job in module.jobs} == {None, user["id"]}


def test_without_the_tables() -> None:
    """The error names the command; nothing else creates them."""
    with engine().begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    try:
        for ask in (
            sample.noop.delay,
            lambda: send_task("files.test.elsewhere"),
            manager.open_sync,
        ):
            with pytest.raises(NotInstalledError, match="ckan files background init"):
                ask()
            model.Session.rollback()
        assert look(f"SELECT to_regnamespace('{SCHEMA}')") is None
        tk.get_action("package_create")({"user": new_user()}, {"name": f"d-{uuid.uuid4()}"})
    finally:
        schema.install(engine())
    model.Session.rollback()
    sample.noop.delay()
    model.Session.commit()
    assert committed_jobs() == 1


def test_no_statement_but_the_jobs(unique: Any) -> None:
    """A job without a task_id and a user is one row, written by one statement."""
    sample.noop.delay()
    model.Session.commit()
    assert look(f"SELECT count(*) FROM {SCHEMA}.files_job") == 0


def priority_of(job: Job) -> int:
    return _one("SELECT priority FROM {}.procrastinate_jobs WHERE id = :id", job)


def task_id_of(job: Job) -> str | None:
    return _one("SELECT task_id FROM {}.files_job WHERE job_id = :id", job)


def user_of(job: Job) -> str | None:
    return _one("SELECT user_id FROM {}.files_job WHERE job_id = :id", job)


def _one(query: str, job: Job) -> Any:
    return model.Session.execute(sa.text(query.format(SCHEMA)), {"id": job.id}).scalar()
