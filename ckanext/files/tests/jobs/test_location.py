"""The header ``Taskqueue-Location``."""

from __future__ import annotations

from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job
from ckanext.files.jobs import set_task_location
from ckanext.files.jobs.location import HEADER
from ckanext.files.shared import add_task
from ckanext.files.tests.background import sample
from ckanext.files.tests.jobs.client import Client
from ckanext.files.tests.loaded import load_plugins

loaded = load_plugins("files", "files_background", "files_test_probe")


@pytest.fixture(scope="module")
def client(loaded: Any) -> Client:
    app = loaded()
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    return Client(app)


def location(job: Job) -> str:
    return f"http://test.ckan.net/api/3/action/files_job_show?id={job.id}"


def test_first_job(client: Client, hooks: Any, unique: Any) -> None:
    jobs: list[Job] = []
    hooks["before:package_create"] = lambda *_: jobs.extend(
        [sample.noop.delay(), sample.noop.delay()]
    )
    response = client.ask("package_create", name=unique("dataset"))
    assert response.status_code == 200
    assert response.headers[HEADER] == location(jobs[0])
    assert HEADER in response.headers["Access-Control-Expose-Headers"]
    assert HEADER not in client.ask("status_show").headers


def test_chosen_job(client: Client, hooks: Any, unique: Any) -> None:
    jobs: list[Job] = []

    def ask(*_: Any) -> None:
        jobs.extend([sample.noop.delay(), sample.noop.delay()])
        set_task_location(jobs[1])

    hooks["before:package_create"] = ask
    response = client.ask("package_create", name=unique("dataset"))
    assert response.headers[HEADER] == location(jobs[1])


def test_failing_action(client: Client, hooks: Any, unique: Any) -> None:
    def ask(*_: Any) -> None:
        sample.noop.delay()
        add_task(lambda *_: 1 / 0)

    hooks["before:package_create"] = ask
    response = client.ask("package_create", name=unique("dataset"))
    assert response.status_code == 500
    assert HEADER not in response.headers


def test_job_of_somebody_else(client: Client, hooks: Any, unique: Any) -> None:
    """Named by the code of an extension, but not for this caller to see."""
    job = sample.noop.delay()
    model.Session.commit()
    hooks["before:package_create"] = lambda *_: set_task_location(job)
    response = client.ask("package_create", name=unique("dataset"))
    assert response.status_code == 200
    assert HEADER not in response.headers


def test_outside_of_a_request() -> None:
    job = sample.noop.delay()
    set_task_location(job)
    model.Session.commit()
