"""Which commit writes a job: an action with a queue commits, other code has to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.tests import factories

from ckanext.files.background import Job, send_task
from ckanext.files.background.schema import SCHEMA
from ckanext.files.shared import with_task_queue
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, look
from ckanext.files.tests.support.hook_plugins import Listener
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background", "files_test_probe", "files_test_package_hooks")

LOGGER = "ckanext.files.transaction.commit_requests"


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    yield
    Listener.on_hook = None


def is_written(job: Job) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {SCHEMA}.procrastinate_jobs WHERE id = :id)"
    return look(query, id=job.id)


def ask_only(name: str, effects: Effects) -> Job:
    return sample.write.delay(name)


def after_an_action(name: str, effects: Effects) -> Job:
    dataset = factories.Dataset()
    patch = {"id": dataset["id"], "title": name}
    tk.get_action("package_patch")({"ignore_auth": True}, patch)
    return sample.write.delay(name)


def after_a_commit(name: str, effects: Effects) -> Job:
    effects.write(name)
    model.Session.commit()
    return sample.write.delay(name)


def by_name(name: str, effects: Effects) -> Job:
    return send_task(sample.write.name, [name], task_id=name)


def many(name: str, effects: Effects) -> Job:
    return sample.write.batch_defer({"name": name}, {"name": name})[1]


@pytest.mark.parametrize("queue", [{}, {"eager": True}, {"atomic": False}])
@pytest.mark.parametrize("do", [ask_only, after_an_action, after_a_commit, by_name, many])
def test_custom_action_answers_with_the_id(
    do: Any, queue: dict[str, bool], effects: Effects, unique: Any
) -> None:
    """The job is committed when the action returns, though its own code does not commit."""
    job = with_task_queue(**queue)(lambda context, data_dict: do(unique("name"), effects))({}, {})
    assert is_written(job)
    model.Session.rollback()
    assert is_written(job)


def test_plain_action_does_not_commit(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A request ends with a job that was not committed: the log has the task and the line."""
    dataset, jobs = factories.Dataset(), []

    def ask(hook: str) -> None:
        if hook == "IPackageController.after_dataset_show":
            jobs.append(sample.write.delay("lost"))

    Listener.on_hook = ask
    with caplog.at_level(logging.ERROR, LOGGER):
        response = app.get(f"/api/action/package_show?id={dataset['id']}")
    assert response.status_code == 200
    assert jobs
    assert not any(map(is_written, jobs))
    lost = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert len(lost) == len(jobs)
    assert f"The job of task {sample.write.name!r} is lost: {__file__}:" in lost[0]


def test_batch_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """One line for all of its jobs."""
    with caplog.at_level(logging.ERROR, LOGGER):
        sample.write.batch_defer({"name": "first"}, {"name": "second"})
        model.Session.remove()
    [lost] = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert f"The batch of 2 jobs of task {sample.write.name!r} is lost: {__file__}:" in lost


def test_action_that_fails_says_nothing(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its caller gets the error; nothing is logged."""

    @with_task_queue
    def fail(context: Any, data_dict: Any) -> None:
        sample.write.delay("undone")
        raise tk.ObjectNotFound

    with caplog.at_level(logging.ERROR, LOGGER), pytest.raises(tk.ObjectNotFound):
        fail({}, {})
    model.Session.remove()
    assert not caplog.records
    assert not look(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs")
