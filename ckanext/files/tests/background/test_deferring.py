"""Deferring: the commit of the caller writes the job, or nothing does, and then the log says so."""

from __future__ import annotations

import asyncio
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import IntegrityError

from ckanext.files.background import (
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
from ckanext.files.shared import on_commit, with_task_queue
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, count_commits, engine, look, watch
from ckanext.files.tests.support.hook_plugins import Listener
from ckanext.files.tests.support.jobs import shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_background", "files_test_probe", "files_test_package_hooks")

BOTH = (
    "SELECT EXISTS (SELECT FROM files_test_effect WHERE name = :name),"
    f" (SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE args::text LIKE '%' || :name || '%')"
)


def committed_jobs() -> int:
    return look(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs")


def is_written(job: Job) -> bool:
    return look(f"SELECT EXISTS (SELECT FROM {SCHEMA}.procrastinate_jobs WHERE id = {job.id})")


async def awaited(name: str) -> Job:
    job = sample.write.defer(name)
    assert shown(job).status == "todo"  # written at the call
    assert await job is job
    return await job


WAYS: dict[str, Callable[[str], Any]] = {
    "delay": lambda name: sample.write.delay(name),
    "await defer": lambda name: asyncio.run(awaited(name)),
    "defer_sync": lambda name: sample.write.defer_sync(name),
    "configure defer": lambda name: sample.write.configure(queue="q").defer(name),
    "configure defer_sync": lambda name: sample.write.configure(countdown=9).defer_sync(name),
    "batch_defer": lambda name: sample.write.batch_defer({"name": name})[0],
    "send_task": lambda name: send_task(sample.write.name, [name], task_id=name),
    "send_task of another": lambda name: manager.send_task("files.test.elsewhere", [name]),
}
each_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


@each_way
def test_job_and_change_become_visible_together(
    ask: Callable[[str], Job], effects: Effects, name: str
) -> None:
    at_commit: list[int] = []
    with watch(BOTH, name=name) as seen, count_commits() as commits:
        job = ask(name)
        effects.write(name)
        on_commit(lambda: at_commit.append(committed_jobs()))
        time.sleep(0.02)
        assert commits == []
        model.Session.commit()
    assert seen == {(False, 0), (True, 1)}
    assert len(commits) == 1
    assert at_commit == [1]
    assert isinstance(job, Job)
    assert shown(job).status == "todo"


@each_way
def test_rollback(ask: Callable[[str], Job], effects: Effects, name: str) -> None:
    """Of the transaction, of a session at the end of a failed request, of a savepoint."""
    with watch(BOTH, name=name) as seen:
        effects.write(name)
        ask(name)
        model.Session.rollback()
        model.Session.commit()
        ask(name)
        model.Session.remove()
    assert seen == {(False, 0)}
    effects.write(name)
    savepoint = model.Session.begin_nested()
    ask(name)
    savepoint.rollback()
    model.Session.commit()
    assert effects.exists(name)
    assert committed_jobs() == 0


def test_pending_objects_come_first(unique: Any) -> None:
    """Deferring sends pending objects first: if the database refuses them, there is no job."""
    user = factories.User()
    model.Session.add(model.User(name=user["name"], email=f"{unique('mail')}@example.com"))
    with pytest.raises(IntegrityError):
        sample.noop.delay()
    model.Session.rollback()
    assert committed_jobs() == 0


def test_batch(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    names = [unique("job") for _ in range(5)]
    deferrer = sample.write.configure(queue="many", priority=2)
    jobs = deferrer.batch_defer(*[{"name": name} for name in names])
    assert [tasks.jobs[job.id]["args"]["name"] for job in jobs] == names
    assert {(shown(job).queue, shown(job).priority) for job in jobs} == {("many", 2)}
    assert tasks.run_pending_jobs().steps == 5
    assert all(effects.exists(name) for name in names)
    assert sample.write.batch_defer() == []


def test_send_task(tasks: TasksManager, effects: Effects, name: str) -> None:
    """With the arguments of Celery, as in text B of docs/testing/promises.rst."""
    task_id = str(uuid.uuid4())
    job = send_task(sample.write.name, args=[name], task_id=task_id)
    assert tasks.jobs[job.id]["args"] == {"name": name}
    assert job.task_id == shown(job).task_id == task_id
    tasks.run_pending_jobs()
    assert effects.exists(name)


def test_send_task_that_this_process_does_not_know(
    make_task: Any, ran: list[Any], tasks: TasksManager
) -> None:
    """The worker knows it, and binds the arguments."""
    elsewhere = f"{__name__}.echo"
    job = send_task(elsewhere, [1, 2], {"c": 3, "d": 4}, queue="far", priority=1)
    assert tasks.jobs[job.id]["args"] == {"c": 3, "d": 4, "*": [1, 2]}
    assert tasks.jobs[job.id]["queue_name"] == "far"
    send_task(elsewhere, [1, 2, 3, 4, 5])

    @make_task
    def echo(a: int, b: int, c: int, d: int) -> None:
        ran.append((a, b, c, d))

    tasks.run_pending_jobs()
    assert ran == [(1, 2, 3, 4)]
    assert [job["status"] for job in tasks.finished_jobs] == ["succeeded", "failed"]


def test_send_task_with_an_impossible_name() -> None:
    for name in ("x" * 129, "a\0b", 5, None):
        with pytest.raises(BackgroundError, match="name of a task"):
            send_task(name)  # pyright: ignore[reportArgumentType]
    for task_id in ("a\0b", "\ud800", "x" * 1001):
        with pytest.raises(BackgroundError, match="task_id"):
            send_task(sample.noop.name, task_id=task_id)


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("task_name", [sample.write.name, "files.test.elsewhere"])
def test_task_id_that_is_taken(
    commit: bool, task_name: str, effects: Effects, name: str, tasks: TasksManager
) -> None:
    """The second job is refused, and the transaction goes on without it."""
    first = send_task(task_name, [name], task_id=name)
    if commit:
        model.Session.commit()
    with pytest.raises(ArgumentError, match=name):
        send_task(task_name, [f"{name}-2"], task_id=name)
    effects.write(name)
    model.Session.commit()
    assert effects.exists(name)
    assert list(tasks.jobs) == [first.id]


def test_user_who_asked(
    app: Any, hooks: Any, make_task: Any, tasks: TasksManager, effects: Effects, name: str
) -> None:
    """Over HTTP, for each way to ask; the jobs of a job are its user's."""
    user, asked = factories.User(), []

    @make_task
    def ask_again(more: int) -> None:
        if more:
            asked.append(ask_again.delay(more - 1))

    def ask(*_: Any) -> None:
        asked.append(sample.remember.delay(name))
        asked.extend(sample.remember.batch_defer({"name": f"{name}-b"}))
        asked.append(send_task("files.test.elsewhere", task_id=name))
        asked.append(ask_again.delay(2))

    hooks["after_dataset_create"] = ask
    answer = app.post(
        "/api/3/action/package_create",
        json={"name": name, "owner_org": None},
        headers={"Authorization": factories.APIToken(user=user["name"])["token"]},
    )
    assert answer.status_code == 200, answer.body
    tasks.run_pending_jobs()
    assert len(asked) == 6
    assert {job.user_id for job in asked} == {user["id"]}
    assert {shown(job).user_id for job in asked} == {user["id"]}
    assert effects.exists(f"{name}-{asked[0].id}-{user['id']}")


def test_no_user_asked(app: Any, make_task: Any, tasks: TasksManager) -> None:
    """In a script, in a request without a login, in a job of theirs: a job is one row then."""

    @make_task
    def ask() -> None:
        jobs.append(sample.noop.delay())

    jobs = [ask.delay()]
    with app.flask_app.test_request_context():
        jobs.append(sample.noop.delay())
        model.Session.commit()
    assert look(f"SELECT count(*) FROM {SCHEMA}.files_job") == 0
    tasks.run_pending_jobs()
    assert [job.user_id for job in jobs] == [None, None, None]
    assert [shown(job).user_id for job in jobs] == [None, None, None]


def test_without_the_tables() -> None:
    """The error names the command; nothing else creates them."""
    with engine().begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    try:
        for ask in (sample.noop.delay, lambda: send_task("elsewhere"), manager.open_sync):
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


def test_the_traceback_shows_why_no_job_was_written() -> None:
    with engine().begin() as other:
        other.execute(sa.text(f"LOCK TABLE {SCHEMA}.procrastinate_jobs"))
        model.Session.execute(sa.text("SET LOCAL lock_timeout = '10ms'"))
        with pytest.raises(ConnectorException) as raised:
            sample.noop.delay()
    model.Session.rollback()
    assert "due to lock timeout" in "".join(traceback.format_exception(raised.value))


# which commit writes it: an action with a queue commits, other code has to


def after_an_action(name: str) -> Job:
    dataset = factories.Dataset()["id"]
    tk.get_action("package_patch")({"ignore_auth": True}, {"id": dataset, "title": name})
    return sample.write.delay(name)


@pytest.mark.parametrize("queue", [{}, {"eager": True}, {"atomic": False}])
@pytest.mark.parametrize("ask", [WAYS["delay"], after_an_action])
def test_custom_action_answers_with_the_id(
    ask: Callable[[str], Job], queue: dict[str, bool], name: str
) -> None:
    """The job is committed when the action returns, though its own code does not commit."""
    job = with_task_queue(**queue)(lambda context, data_dict: ask(name))({}, {})
    assert is_written(job)
    model.Session.rollback()
    assert is_written(job)


def test_plain_action_does_not_commit(app: Any, lost: Any) -> None:
    """A request ends with a job that was not committed: the log has the task and the line."""
    dataset, jobs = factories.Dataset(), []

    def ask(hook: str) -> None:
        if hook == "IPackageController.after_dataset_show":
            jobs.append(sample.write.delay("lost"))

    Listener.on_hook = ask
    try:
        response = app.get(f"/api/action/package_show?id={dataset['id']}")
    finally:
        Listener.on_hook = None
    assert response.status_code == 200
    assert jobs
    assert not any(map(is_written, jobs))
    assert len(lost()) == len(jobs)
    assert f"The job of task {sample.write.name!r} is lost: {__file__}:" in lost()[0]


def test_batch_is_lost(lost: Any) -> None:
    """One line for all of its jobs."""
    sample.write.batch_defer({"name": "first"}, {"name": "second"})
    model.Session.remove()
    [line] = lost()
    assert f"The batch of 2 jobs of task {sample.write.name!r} is lost: {__file__}:" in line
