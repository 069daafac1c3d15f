"""The header ``Taskqueue-Location``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import AlreadyEnqueuedError, Job
from ckanext.files.background_plugin import set_task_location
from ckanext.files.background_plugin.location import HEADER
from ckanext.files.shared import add_task
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.client import Client
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background", "files_test_probe")

EXPOSED = "Access-Control-Expose-Headers"
ELSEWHERE = {"Origin": "https://elsewhere.example"}


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    app = loaded()
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture(scope="module")
def client(app: Any) -> Client:
    return Client(app)


@pytest.fixture
def ask(client: Client, hooks: Any, unique: Any) -> Callable[..., Any]:
    """Call an API action in which something happens; return the response."""

    def ask(
        within: Callable[[], Any], client: Client = client, headers: Any = None, **data: Any
    ) -> Any:
        hooks["before:package_create"] = lambda *_: within()
        return client.ask("package_create", headers, **{"name": unique("dataset"), **data})

    return ask


def location(job: Job, root: str = "") -> str:
    return f"http://test.ckan.net{root}/api/3/action/files_job_show?id={job.id}"


def noops(count: int) -> list[Job]:
    return [sample.noop.delay() for _ in range(count)]


def job_of(client: Client, ask: Any) -> Job:
    """Return a job for which a user has asked, in an earlier request."""
    jobs: list[Job] = []
    assert ask(lambda: jobs.extend(noops(1)), client).status_code == 200
    return jobs[0]


def test_first_job(client: Client, app: Any, ask: Any) -> None:
    jobs: list[Job] = []
    response = ask(lambda: jobs.extend(noops(3)))
    assert response.status_code == 200
    assert response.headers[HEADER] == location(jobs[0])
    shown = app.get(response.headers[HEADER], headers=client.headers)
    assert json.loads(shown.body)["result"]["id"] == jobs[0].id
    assert HEADER not in client.ask("status_show").headers


def test_chosen_job(ask: Any) -> None:
    jobs: list[Job] = []

    def within() -> None:
        jobs.extend(noops(3))
        set_task_location(jobs[2])
        set_task_location(jobs[1])

    assert ask(within).headers[HEADER] == location(jobs[1])


def test_action_without_a_queue(client: Client, ask: Any, hooks: Any, unique: Any) -> None:
    """Here the job is written right before CKAN's own commit."""
    name, jobs = unique("dataset"), []
    ask(lambda: None, name=name)
    hooks["notify"] = lambda *_: jobs.extend(noops(1))
    response = client.ask("package_delete", id=name)
    assert response.headers[HEADER] == location(jobs[0])


# only what is committed


def fail() -> None:
    def task(*_: Any) -> None:
        raise ZeroDivisionError

    add_task(task)


def test_failing_actions(client: Client, ask: Any) -> None:
    def within() -> None:
        set_task_location(sample.noop.delay())

    assert ask(within).status_code == 200
    refused = ask(within, name="NOT A NAME")
    broken = ask(lambda: (within(), fail()))
    assert (refused.status_code, broken.status_code) == (409, 500)
    assert HEADER not in refused.headers
    assert HEADER not in broken.headers


def test_job_that_was_rolled_back(ask: Any) -> None:
    """The next one is the first; a choice that has come to nothing is none."""
    jobs: list[Job] = []

    def within() -> None:
        savepoint = model.Session.begin_nested()
        jobs.extend(noops(1))
        set_task_location(jobs[0])
        savepoint.rollback()
        jobs.extend(noops(2))

    assert ask(within).headers[HEADER] == location(jobs[1])


def test_job_of_an_earlier_request(client: Client, ask: Any) -> None:
    """It is committed, whatever becomes of this request."""
    job = job_of(client, ask)

    def within() -> None:
        sample.noop.delay()
        set_task_location(job)

    assert ask(within).headers[HEADER] == location(job)
    assert ask(within, name="NOT A NAME").headers[HEADER] == location(job)


def test_job_that_is_waiting_already(client: Client, ask: Any, hooks: Any) -> None:
    """What an action does that wants one job at a time, also if it commits nothing then."""
    sync = sample.noop.configure(queueing_lock="sync")
    jobs: list[Job] = []
    assert ask(lambda: jobs.append(sync.delay())).headers[HEADER] == location(jobs[0])

    def within() -> None:
        with pytest.raises(AlreadyEnqueuedError):
            sync.delay()
        set_task_location(jobs[0])
        raise ZeroDivisionError

    assert ask(within).headers[HEADER] == location(jobs[0])


# only to users who may see the job


def test_job_of_another_user(app: Any, client: Client, ask: Any) -> None:
    theirs = job_of(client, ask)
    scripts = sample.noop.delay()
    model.Session.commit()
    for job in (theirs, scripts):
        response = ask(lambda job=job: set_task_location(job), Client(app))
        assert response.status_code == 200
        assert HEADER not in response.headers
        admin = Client(app, sysadmin=True)
        response = ask(lambda job=job: set_task_location(job), admin)
        assert response.headers[HEADER] == location(job)


@pytest.mark.ckan_config("ckan.auth.create_user_via_api", True)
@pytest.mark.usefixtures("ckan_config")
def test_visitor(app: Any, hooks: Any, unique: Any) -> None:
    jobs: list[Job] = []
    hooks["before:user_create"] = lambda *_: jobs.extend(noops(1))
    hooks["after:user_create"] = lambda *_: set_task_location(jobs[0])
    name = unique("visitor")
    data = {"name": name, "email": f"{name}@example.com", "password": "correct horse battery"}
    response = Client(app, anonymous=True).ask("user_create", **data)
    assert response.status_code == 200
    assert jobs
    assert HEADER not in response.headers


def test_outside_of_a_request() -> None:
    job = sample.noop.delay()
    set_task_location(job)
    model.Session.commit()


# the address


@pytest.mark.ckan_config("ckan.root_path", "/portal/{{LANG}}")
@pytest.mark.usefixtures("ckan_config")
def test_portal_below_a_path(ask: Any) -> None:
    jobs: list[Job] = []
    response = ask(lambda: jobs.extend(noops(1)))
    assert response.headers[HEADER] == location(jobs[0], "/portal")


# other sites


def test_without_cors(ask: Any) -> None:
    response = ask(lambda: noops(1), headers=ELSEWHERE)
    assert HEADER in response.headers
    assert EXPOSED not in response.headers


@pytest.mark.ckan_config("ckan.cors.origin_allow_all", True)
@pytest.mark.usefixtures("ckan_config")
def test_with_cors(ask: Any, client: Client) -> None:
    response = ask(lambda: noops(1), headers=ELSEWHERE)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers.getlist(EXPOSED) == [HEADER]
    assert EXPOSED not in ask(lambda: noops(1)).headers
    assert EXPOSED not in client.ask("status_show", ELSEWHERE).headers


@pytest.mark.ckan_config("ckan.cors.origin_whitelist", "https://elsewhere.example")
@pytest.mark.usefixtures("ckan_config")
def test_what_others_expose_stays(app: Any, ask: Any) -> None:
    others = app.flask_app.after_request_funcs[None]

    def expose(response: Any) -> Any:
        response.headers[EXPOSED] = "X-Other"
        return response

    others.append(expose)  # the last one comes first
    try:
        response = ask(lambda: noops(1), headers=ELSEWHERE)
    finally:
        others.remove(expose)
    assert response.headers.getlist(EXPOSED) == [f"X-Other, {HEADER}"]
