"""The actions on jobs: who may do what, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background import sample
from ckanext.files.tests.jobs.client import Client
from ckanext.files.tests.loaded import load_plugins

loaded = load_plugins("files", "files_background", "files_test_probe")

ACTIONS = ["files_job_show", "files_job_cancel", "files_job_retry"]
UNKNOWN = 4_000_000_000


class Cast:
    def __init__(self, app: Any) -> None:
        self.owner = Client(app)
        self.other = Client(app)
        self.sysadmin = Client(app, sysadmin=True)
        self.anonymous = Client(app, anonymous=True)


@pytest.fixture(scope="module")
def cast(loaded: Any, effects: Any) -> Cast:
    app = loaded()
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    return Cast(app)


@pytest.fixture
def ask_for(cast: Cast, hooks: Any, unique: Any) -> Callable[..., Job]:
    """Ask for a job over the API, as a user."""

    def ask(call: Callable[[], Job], client: Client | None = None) -> Job:
        jobs: list[Job] = []
        hooks["before:package_create"] = lambda *_: jobs.append(call())
        status, _ = (client or cast.owner).call("package_create", name=unique("dataset"))
        hooks.clear()
        assert status == 200
        return jobs[0]

    return ask


def state(job: Job) -> str:
    with model.Session.get_bind().connect() as connection:  # pyright: ignore[reportAttributeAccessIssue]
        query = f"SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = :id"
        return connection.execute(sa.text(query), {"id": job.id}).scalar_one()


def test_show(cast: Cast, ask_for: Any, tasks: TasksManager, unique: Any) -> None:
    name = unique("job")
    job = ask_for(lambda: sample.count_down.configure(priority=3).delay(name, 1, 1))
    status, shown = cast.owner.call("files_job_show", id=job.id)
    assert status == 200
    assert shown["task"] == "ckanext.files.tests.background.sample.count_down"
    assert shown["args"] == {"name": name, "total": 1, "remaining": 1}
    assert (shown["status"], shown["priority"], shown["step"]) == ("todo", 3, 0)
    assert shown["user_id"] == cast.owner.id
    assert shown["created"]
    assert shown["started"] is shown["finished"] is shown["percent"] is shown["error"] is None
    assert [event["type"] for event in shown["events"]] == ["deferred"]

    tasks.run_pending_jobs()
    _, shown = cast.owner.call("files_job_show", id=job.id)
    assert (shown["status"], shown["percent"], shown["step"]) == ("succeeded", 100, 2)
    assert shown["created"] <= shown["started"] <= shown["finished"]
    assert [event["type"] for event in shown["events"]] == ["deferred", "started", "succeeded"]


def test_failure_is_shown(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    job = ask_for(lambda: sample.fail_after.delay("this"))
    tasks.run_pending_jobs()
    _, shown = cast.owner.call("files_job_show", id=str(job.id))
    assert shown["status"] == "failed"
    assert shown["error"] == "ValueError: this is wrong"
    assert "sample.py" in shown["traceback"]


@pytest.mark.parametrize("action", ACTIONS)
def test_jobs_of_others(action: str, cast: Cast, ask_for: Any) -> None:
    """They are refused in the words for a job that does not exist, and nothing is told of them."""
    secret = "a secret argument"
    job = ask_for(lambda: sample.write.delay(secret))
    for client in (cast.other, cast.anonymous):
        theirs = client.ask(action, id=job.id)
        none = client.ask(action, id=UNKNOWN)
        assert theirs.status_code == none.status_code == 403
        assert theirs.body.replace(str(job.id), "N") == none.body.replace(str(UNKNOWN), "N")
        assert secret not in theirs.body
    assert state(job) == "todo"


@pytest.mark.parametrize("action", ACTIONS)
def test_jobs_of_nobody(action: str, cast: Cast) -> None:
    """What a script has asked for, only sysadmins see."""
    job = sample.fail_after.delay("x")
    model.Session.commit()
    assert cast.owner.call(action, id=job.id)[0] == 403
    assert cast.sysadmin.call("files_job_show", id=job.id)[0] == 200


def test_sysadmin(cast: Cast, ask_for: Any) -> None:
    job = ask_for(lambda: sample.noop.delay())
    assert cast.sysadmin.call("files_job_show", id=job.id)[1]["user_id"] == cast.owner.id
    assert cast.sysadmin.call("files_job_show", id=UNKNOWN)[0] == 404
    assert cast.sysadmin.call("files_job_cancel", id=job.id)[1]["status"] == "cancelled"
    assert cast.sysadmin.call("files_job_retry", id=job.id)[1]["status"] == "todo"


@pytest.mark.parametrize("bad", ["", None, "x", -1, 0, 1.5, True, 2**70, [1], {"a": 1}])
@pytest.mark.parametrize("action", ACTIONS)
def test_bad_ids(action: str, bad: Any, cast: Cast) -> None:
    status, error = cast.sysadmin.call(action, id=bad)
    assert status == 409
    assert error["id"]
    assert cast.owner.call(action, id=bad)[0] == 403


def test_cancel_and_retry(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    job = ask_for(lambda: sample.noop.delay())
    status, error = cast.owner.call("files_job_retry", id=job.id)
    assert (status, "todo" in error["id"][0]) == (409, True)
    assert cast.owner.call("files_job_cancel", id=job.id)[1]["status"] == "cancelled"
    status, error = cast.owner.call("files_job_cancel", id=job.id)
    assert (status, "cancelled" in error["id"][0]) == (409, True)
    assert tasks.run_pending_jobs().steps == 0
    assert cast.owner.call("files_job_retry", id=job.id)[1]["status"] == "todo"
    assert tasks.run_pending_jobs().steps == 1
    assert state(job) == "succeeded"
    for action in ("files_job_cancel", "files_job_retry"):
        assert cast.owner.call(action, id=job.id)[0] == 409


def test_retry_resumes_at_the_failed_step(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    job = ask_for(lambda: sample.fail_once_after_steps.delay(2))
    sample.broken.add("fail_once_after_steps")
    tasks.run_pending_jobs()
    _, shown = cast.owner.call("files_job_show", id=job.id)
    assert (shown["status"], shown["step"]) == ("failed", 2)
    sample.broken.clear()
    _, shown = cast.owner.call("files_job_retry", id=job.id)
    assert (shown["status"], shown["finished"]) == ("todo", None)
    assert tasks.run_pending_jobs().steps == 1
    _, shown = cast.owner.call("files_job_show", id=job.id)
    assert (shown["status"], shown["step"], shown["error"]) == ("succeeded", 3, None)


def test_cancel_between_steps(cast: Cast, ask_for: Any, tasks: TasksManager, unique: Any) -> None:
    name = unique("job")
    job = ask_for(lambda: sample.count_down.delay(name, 5, 5))
    worker = sa.text(f"SELECT worker_id FROM {SCHEMA}.procrastinate_register_worker_v1()")
    tasks.worker_id = model.Session.execute(worker).scalar_one()
    claim = tasks._claim()
    assert claim
    tasks._run_step(claim)
    model.Session.commit()
    assert state(job) == "doing"
    assert cast.owner.call("files_job_cancel", id=job.id)[1]["status"] == "aborted"
    assert tasks.run_pending_jobs().steps == 0


def test_list(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    mine = [ask_for(lambda: sample.noop.delay()).id for _ in range(3)]
    ask_for(lambda: sample.write.configure(queue="mails").delay("theirs"), cast.other)
    tasks.run_pending_jobs()
    mine.append(ask_for(lambda: sample.noop.configure(queue="mails").delay()).id)

    def ids(client: Client, **data: Any) -> tuple[int, list[int]]:
        status, found = client.call("files_job_list", **data)
        assert status == 200, found
        return found["count"], [job["id"] for job in found["results"]]

    assert ids(cast.owner) == (4, mine[::-1])
    assert ids(cast.owner, limit=2, offset=1) == (4, [mine[2], mine[1]])
    assert ids(cast.owner, status="todo") == (1, mine[3:])
    assert ids(cast.owner, status=["succeeded", "failed"]) == (3, mine[2::-1])
    assert ids(cast.owner, queue="mails") == (1, mine[3:])
    assert ids(cast.owner, task="ckanext.files.tests.background.sample.write") == (0, [])
    assert ids(cast.owner, user_id=cast.owner.name)[0] == 4
    assert ids(cast.sysadmin)[0] == 5
    assert ids(cast.sysadmin, user_id=cast.other.name)[0] == 1
    assert ids(cast.sysadmin, user_id=cast.owner.id, status="todo")[0] == 1
    assert ids(cast.sysadmin, user_id="nobody of that name")[0] == 0
    assert cast.owner.call("files_job_list", user_id=cast.other.name)[0] == 403
    assert cast.anonymous.call("files_job_list")[0] == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", -1),
        ("limit", 1001),
        ("limit", "many"),
        ("offset", -1),
        ("offset", "x"),
        ("status", "done"),
        ("status", ["todo", "done"]),
        ("status", {"a": 1}),
    ],
)
def test_bad_filters(name: str, value: Any, cast: Cast) -> None:
    status, error = cast.owner.call("files_job_list", **{name: value})
    assert status == 409
    assert error[name]
    if name == "status":
        assert "succeeded" in error["status"][0]
