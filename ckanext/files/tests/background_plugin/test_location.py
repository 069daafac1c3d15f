"""The header ``Taskqueue-Location``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job
from ckanext.files.background.testing import TasksManager
from ckanext.files.background_plugin import set_task_location
from ckanext.files.background_plugin.location import HEADER
from ckanext.files.maintenance.removal import write_removal_job
from ckanext.files.maintenance.tasks import remove_bytes
from ckanext.files.shared import add_task
from ckanext.files.store.storages import FileData, Location
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import defer as defer_job
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Client

loaded = load_plugins("files", "files_background", "files_test_probe")

EXPOSED = "Access-Control-Expose-Headers"
ELSEWHERE = {"Origin": "https://elsewhere.example"}


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


@pytest.fixture
def jobs() -> list[Job]:
    """The jobs of the request."""
    return []


def defer(jobs: list[Job], count: int = 1) -> None:
    """Ask for jobs."""
    jobs.extend(sample.noop.delay() for _ in range(count))


@pytest.fixture
def earlier(ask: Any) -> Job:
    """A job for which the client has asked in an earlier request."""
    jobs: list[Job] = []
    assert ask(lambda: defer(jobs)).status_code == 200
    return jobs[0]


def location(job: Job, root: str = "") -> str:
    return f"http://test.ckan.net{root}/api/3/action/files_job_show?id={job.id}"


# which job


def choose(jobs: list[Job]) -> None:
    defer(jobs, 3)
    set_task_location(jobs[2])
    set_task_location(jobs[1])


def roll_back(jobs: list[Job]) -> None:
    """The next one is the first; a choice that has come to nothing is none."""
    savepoint = model.Session.begin_nested()
    defer(jobs)
    set_task_location(jobs[0])
    savepoint.rollback()
    defer(jobs, 2)


@pytest.mark.parametrize(
    ("within", "named"), [(lambda jobs: defer(jobs, 3), 0), (choose, 1), (roll_back, 1)]
)
def test_named_job(
    within: Any, named: int, jobs: list[Job], ask: Any, app: Any, client: Client
) -> None:
    response = ask(lambda: within(jobs))
    assert response.status_code == 200
    assert response.headers[HEADER] == location(jobs[named])
    shown = app.get(response.headers[HEADER], headers=client.headers)
    assert json.loads(shown.body)["result"]["id"] == jobs[named].id
    assert HEADER not in client.ask("status_show").headers


def test_action_without_a_queue(
    client: Client, jobs: list[Job], ask: Any, hooks: Any, unique: Any
) -> None:
    """Here the job is written right before CKAN's own commit."""
    name = unique("dataset")
    ask(lambda: None, name=name)
    hooks["notify"] = lambda *_: defer(jobs)
    assert client.ask("package_delete", id=name).headers[HEADER] == location(jobs[0])


def test_failing_actions(ask: Any) -> None:
    """The job is not committed."""

    def within() -> None:
        set_task_location(sample.noop.delay())

    def broken() -> None:
        within()
        add_task(lambda *_: 1 / 0)

    for response, status in ((ask(within, name="NOT A NAME"), 409), (ask(broken), 500)):
        assert (response.status_code, HEADER in response.headers) == (status, False)


def test_job_of_an_earlier_request(earlier: Job, ask: Any) -> None:
    """It is committed, whatever becomes of this request."""

    def within() -> None:
        sample.noop.delay()
        set_task_location(earlier)

    assert ask(within).headers[HEADER] == location(earlier)
    assert ask(within, name="NOT A NAME").headers[HEADER] == location(earlier)


# only to users who may see the job


def test_job_of_another_user(app: Any, earlier: Job, ask: Any) -> None:
    other, admin = Client(app), Client(app, sysadmin=True)
    for job in (earlier, defer_job(sample.noop)):
        response = ask(lambda job=job: set_task_location(job), other)
        assert (response.status_code, HEADER in response.headers) == (200, False)
        response = ask(lambda job=job: set_task_location(job), admin)
        assert response.headers[HEADER] == location(job)


@pytest.mark.ckan_config("ckan.auth.create_user_via_api", True)
@pytest.mark.usefixtures("ckan_config")
def test_visitor(app: Any, jobs: list[Job], hooks: Any, unique: Any) -> None:
    hooks["before:user_create"] = lambda *_: defer(jobs)
    hooks["after:user_create"] = lambda *_: set_task_location(jobs[0])
    name = unique("visitor")
    data = {"name": name, "email": f"{name}@example.com", "password": "correct horse battery"}
    response = Client(app, anonymous=True).ask("user_create", **data)
    assert response.status_code == 200
    assert jobs
    assert HEADER not in response.headers


def test_removal_of_bytes(ask: Any, tasks: TasksManager) -> None:
    """The user has not asked for the job that removes what the request could not remove."""
    data = FileData(Location("a.txt"))
    assert HEADER not in ask(lambda: write_removal_job("default", data)).headers
    [job] = tasks.pending_jobs
    assert job["task_name"] == remove_bytes.name


def test_outside_of_a_request() -> None:
    set_task_location(sample.noop.delay())
    model.Session.commit()


# the address, and other sites


@pytest.mark.ckan_config("ckan.root_path", "/portal/{{LANG}}")
@pytest.mark.usefixtures("ckan_config")
def test_portal_below_a_path(ask: Any, jobs: list[Job]) -> None:
    assert ask(lambda: defer(jobs)).headers[HEADER] == location(jobs[0], "/portal")


@pytest.mark.ckan_config("ckan.cors.origin_allow_all", True)
@pytest.mark.usefixtures("ckan_config")
def test_with_cors(ask: Any, client: Client) -> None:
    response = ask(sample.noop.delay, headers=ELSEWHERE)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers.getlist(EXPOSED) == [HEADER]
    assert EXPOSED not in ask(sample.noop.delay).headers  # of this site
    assert EXPOSED not in client.ask("status_show", ELSEWHERE).headers


@pytest.mark.ckan_config("ckan.cors.origin_whitelist", "https://elsewhere.example")
@pytest.mark.usefixtures("ckan_config")
def test_what_others_expose_stays(app: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def expose(response: Any) -> Any:
        response.headers[EXPOSED] = "X-Other"
        return response

    others = app.flask_app.after_request_funcs
    monkeypatch.setitem(others, None, [*others[None], expose])  # the last one comes first
    response = ask(sample.noop.delay, headers=ELSEWHERE)
    assert response.headers.getlist(EXPOSED) == [f"X-Other, {HEADER}"]
