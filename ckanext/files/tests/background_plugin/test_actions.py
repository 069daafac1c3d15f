"""The actions on jobs: who may do what, and what comes of it."""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background_plugin.conftest import Cast
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.jobs import UNKNOWN, cancel, defer, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.step_owner import StepOwner
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "files_background", "files_test_probe")

ACTIONS = ["files_job_show", "files_job_cancel", "files_job_retry"]
SECRET = "a secret argument"
NOTHING = {"count": 0, "count_is_exact": True, "results": [], "next": None}


@pytest.fixture
def job(ask_for: Any) -> Job:
    """A job for which the owner has asked."""
    return ask_for(lambda: sample.anything.delay(SECRET))


def show(client: Client, job: Job) -> dict[str, Any]:
    return client.result("files_job_show", id=job.id)


def kinds(shown: dict[str, Any]) -> list[str]:
    """Return the types of the events of a job."""
    return [event["type"] for event in shown["events"]]


# show


def test_show(cast: Cast, ask_for: Any, tasks: TasksManager, unique: Any) -> None:
    name = unique("job")
    job = ask_for(lambda: sample.count_down.configure(priority=3).delay(name, 1, 1))
    shown = show(cast.owner, job)
    assert shown["task"] == "ckanext.files.tests.support.sample.count_down"
    assert shown["args"] == {"name": name, "total": 1, "remaining": 1}
    assert (shown["status"], shown["priority"], shown["step"]) == ("todo", 3, 0)
    assert shown["user_id"] == cast.owner.id
    assert shown["created"].endswith("+00:00")
    assert shown["started"] is shown["finished"] is shown["percent"] is shown["error"] is None
    assert kinds(shown) == ["deferred"]
    tasks.run_pending_jobs()
    shown = show(cast.owner, job)
    assert (shown["status"], shown["percent"], shown["step"]) == ("succeeded", 100, 2)
    assert shown["created"] <= shown["started"] <= shown["finished"] == shown["events"][-1]["at"]
    assert kinds(shown) == ["deferred", "started", "succeeded"]


def test_failure_with_details_of_the_server(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    """Statements and values are for sysadmins, and the owner gets why it failed."""
    job = ask_for(lambda: sample.fail_after.delay("this\n[SQL: SELECT secret]"))
    tasks.run_pending_jobs()
    shown = show(cast.owner, job)
    assert (shown["status"], shown["error"]) == ("failed", "this")
    assert shown["traceback"] is None
    shown = show(cast.sysadmin, job)
    assert shown["error"] == "ValueError: this\n[SQL: SELECT secret] is wrong"
    assert "sample.py" in shown["traceback"]


# jobs of others


@pytest.mark.parametrize("action", ACTIONS)
def test_jobs_of_others(action: str, cast: Cast, job: Job) -> None:
    """The error is the same as for a job that does not exist, and shows nothing of the job.

    What a script has asked for, only sysadmins see.
    """
    for client in (cast.other, cast.anonymous):
        theirs = client.ask(action, id=job.id)
        none = client.ask(action, id=UNKNOWN)
        assert theirs.status_code == none.status_code == 403
        assert theirs.body.replace(f"job {job.id},", f"job {UNKNOWN},") == none.body
        assert SECRET not in theirs.body
    assert state(job) == "todo"
    script = defer(sample.noop)
    assert cast.owner.call(action, id=script.id)[0] == 403
    assert show(cast.sysadmin, script)["user_id"] is None


def test_list_shows_nothing_of_others(cast: Cast, job: Job) -> None:
    script = defer(sample.anything, SECRET)
    for filters in ({}, {"user_id": ""}, {"user_id": None}, {"status": "todo", "limit": 1000}):
        assert cast.other.result("files_job_list", **filters) == NOTHING
    refused = {
        cast.other.ask("files_job_list", user_id=user).body
        for user in (cast.owner.id, cast.owner.name, "no such user", "\0", [1], {"a": 1})
    }
    assert len(refused) == 1
    assert SECRET not in refused.pop()
    found = cast.sysadmin.result("files_job_list")["results"]
    assert [each["user_id"] for each in found] == [None, cast.owner.id]
    assert found[0]["id"] == script.id


def test_without_a_user() -> None:
    """As scripts call it."""
    job = sample.noop.delay()
    for context in ({}, {"user": ""}, {"user": "no such user"}):
        for action in [*ACTIONS, "files_job_list"]:
            with pytest.raises(tk.NotAuthorized):
                tk.get_action(action)({**context}, {"id": job.id})  # pyright: ignore[reportArgumentType]
    assert call("files_job_show", None, id=job.id)["status"] == "todo"
    assert call("files_job_list", None)["count"] == 1


def test_sysadmin(cast: Cast, job: Job) -> None:
    assert show(cast.sysadmin, job)["user_id"] == cast.owner.id
    assert cast.sysadmin.call("files_job_show", id=UNKNOWN)[0] == 404
    assert cast.sysadmin.result("files_job_cancel", id=job.id)["status"] == "cancelled"
    assert cast.sysadmin.result("files_job_retry", id=job.id)["status"] == "todo"


@pytest.mark.parametrize(
    ("action", "bad"),
    [
        *[("files_job_show", bad) for bad in ("", None, "\0", "9" * 5000, 0, 1.5, True, 2**63)],
        *[("files_job_show", bad) for bad in (float("inf"), [1], [{"a": 1}], {"a": 1})],
        *[(action, "0") for action in ACTIONS[1:]],
    ],
    ids=lambda each: str(each)[:20],
)
def test_bad_ids(action: str, bad: Any, cast: Cast) -> None:
    status, error = cast.sysadmin.call(action, id=bad)
    assert (status, bool(error["id"])) == (409, True)
    assert cast.owner.call(action, id=bad)[0] == 403


# cancel and retry


def test_cancel_and_retry(cast: Cast, job: Job, tasks: TasksManager) -> None:
    def refused(action: str, status: str) -> None:
        code, error = cast.owner.call(action, id=job.id)
        assert (code, status in error["id"][0]) == (409, True)

    refused("files_job_retry", "waiting")
    assert cast.owner.result("files_job_cancel", id=job.id)["status"] == "cancelled"
    refused("files_job_cancel", "cancelled")
    assert tasks.run_pending_jobs().steps == 0
    assert cast.owner.result("files_job_retry", id=job.id)["status"] == "todo"
    assert tasks.run_pending_jobs().steps == 1
    assert state(job) == "succeeded"
    refused("files_job_cancel", "succeeded")
    refused("files_job_retry", "succeeded")


@pytest.mark.parametrize(
    ("given", "interrupts"), [({}, False), ({"now": "tomorrow"}, False), ({"now": "true"}, True)]
)
def test_cancel_a_running_job(
    given: Any, interrupts: bool, cast: Cast, job: Job, owner: StepOwner
) -> None:
    """With ``now`` the worker must interrupt the step. Only a user who may cancel it may do so."""
    claim = owner.claim()
    owner.commit()
    assert cast.other.call("files_job_cancel", id=job.id, **given)[0] == 403
    answer = cast.owner.result("files_job_cancel", id=job.id, **given)
    assert (answer["status"], answer["abort_requested"]) == ("doing", True)
    assert answer == show(cast.owner, job)
    assert state(job, "interrupt") is interrupts
    assert owner.end_step(claim, goes_on=True) == "aborted"
    owner.commit()
    assert kinds(show(cast.owner, job)) == ["deferred", "started", "abort_requested", "aborted"]


@pytest.mark.parametrize("action", ["files_job_cancel", "files_job_retry"])
def test_commit(action: str) -> None:
    job = defer(sample.noop)
    if action == "files_job_retry":
        cancel(job)
    before = state(job)
    context: Any = {"ignore_auth": True, "defer_commit": True}
    answer = tk.get_action(action)(context, {"id": job.id})
    assert answer["status"] != before
    assert state(job) == before
    model.Session.rollback()
    with count_commits() as commits:
        assert call(action, None, id=job.id)["status"] == answer["status"]
    assert len(commits) == 1
    assert state(job) == answer["status"]


@pytest.mark.parametrize(
    ("action", "for_users"),
    [*[(action, tk.NotAuthorized) for action in ACTIONS], ("files_job_list", tk.ValidationError)],
)
def test_without_the_tables(action: str, for_users: Any, cast: Cast) -> None:
    """The answer says what to run, and the transaction goes on."""
    model.Session.execute(sa.text(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away"))
    for client, error in ((cast.sysadmin, tk.ValidationError), (cast.owner, for_users)):
        with pytest.raises(error) as caught:
            call(action, client.name, id=1)
        assert "ckan files background init" in str(caught.value)
    assert model.Session.execute(sa.text("SELECT 7")).scalar() == 7
    model.Session.rollback()


# list


def test_list(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    mine = [ask_for(sample.noop.delay).id for _ in range(3)]
    ask_for(sample.anything.configure(queue="mails").delay, cast.other)
    tasks.run_pending_jobs()
    mine.append(ask_for(sample.noop.configure(queue="mails").delay).id)

    def ids(client: Client, **data: Any) -> tuple[int, list[int]]:
        found = client.result("files_job_list", **data)
        return found["count"], [job["id"] for job in found["results"]]

    assert ids(cast.owner) == (4, mine[::-1])
    assert ids(cast.owner, limit=2, offset=1) == (4, [mine[2], mine[1]])
    assert ids(cast.owner, limit="2", offset="3") == (4, [mine[0]])
    assert ids(cast.owner, limit=0) == (4, [])
    assert ids(cast.owner, offset=2**63 - 1) == (4, [])
    assert ids(cast.owner, status="", queue="", limit=None) == (4, mine[::-1])
    assert ids(cast.owner, status=[]) == (0, [])
    assert ids(cast.owner, status="todo") == (1, mine[3:])
    assert ids(cast.owner, status=["succeeded", "failed"]) == (3, mine[2::-1])
    assert ids(cast.owner, queue="mails") == (1, mine[3:])
    assert ids(cast.owner, task="ckanext.files.tests.support.sample.anything") == (0, [])
    assert ids(cast.owner, user_id=cast.owner.name)[0] == 4
    assert ids(cast.sysadmin)[0] == 5
    assert ids(cast.sysadmin, user_id=cast.other.name)[0] == 1
    assert ids(cast.sysadmin, user_id=cast.owner.id, status="todo")[0] == 1
    assert ids(cast.sysadmin, user_id="no such user")[0] == 0
    assert cast.owner.call("files_job_list", user_id=cast.other.name)[0] == 403
    assert cast.anonymous.call("files_job_list")[0] == 403


def test_list_has_a_summary_of_arguments(cast: Cast, ask_for: Any) -> None:
    """They may be large, and there may be many; one job is shown with all of them."""
    values = {f"n{number:02}": number for number in range(1000)}
    large = ask_for(lambda: sample.anything.delay(a="x" * 900_000))
    many = ask_for(lambda: sample.anything.delay(**values))
    none = ask_for(sample.noop.delay)
    answer = cast.owner.ask("files_job_list")
    assert len(answer.body) < 5000
    listed = {job["id"]: job for job in json.loads(answer.body)["result"]["results"]}
    few = ", ".join(f"n{number:02}={number}" for number in range(10))
    assert {id_: job["args_summary"] for id_, job in listed.items()} == {
        large.id: 'a="' + "x" * 59 + "...",
        many.id: f"{few}, ...",
        none.id: "",
    }
    assert not any("args" in job for job in listed.values())
    assert show(cast.owner, large)["args"] == {"a": "x" * 900_000}
    assert show(cast.owner, many)["args"] == values


def test_get(cast: Cast, job: Job) -> None:
    """What changes nothing may be asked for by an address alone."""

    def get(address: str) -> Any:
        return cast.app.get(f"/api/3/action/{address}", headers=cast.owner.headers)

    found = json.loads(get("files_job_list?status=failed&status=todo&limit=5&offset=0").body)
    assert [each["id"] for each in found["result"]["results"]] == [job.id]
    assert json.loads(get(f"files_job_show?id={job.id}").body)["result"]["id"] == job.id
    for action in ("files_job_cancel", "files_job_retry"):
        assert get(f"{action}?id={job.id}").status_code == 400
    assert state(job) == "todo"
    for action in [*ACTIONS, "files_job_list"]:
        assert all(part in get(f"help_show?name={action}").body for part in (":param", ":returns:"))


BAD_FILTERS: dict[str, list[Any]] = {
    "limit": [-1, 1001, "many", True, 1.5, float("inf"), [{"a": 1}]],
    "offset": [-1, 2**63],
    "status": ["done", {"a": 1}, [{"a": 1}], ["todo", "done"], ["todo", ["done"]], ["todo", None]],
    "task": ["a\0b", ["a"], 0],
    "queue": ["\ud800"],
    "task_id": ["x" * 201],
    "user_id": ["\0", [{"a": 1}], [], {}, False],
    "text": ["\0", ["a"], "x" * 201],
    "before": [0, "x", 2**63],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_FILTERS.items() for value in values]
)
def test_bad_filters(name: str, value: Any, cast: Cast) -> None:
    client = cast.sysadmin if name == "user_id" else cast.owner
    status, error = client.call("files_job_list", **{name: value})
    assert status == 409
    assert set(error) == {name, "__type"}
    if name == "status" and value != [{"a": 1}]:
        assert "succeeded" in error["status"][0]


@pytest.mark.parametrize("junk", [5, {"": 1}, [{"a": 1}]])
def test_junk_in_a_request(junk: Any, cast: Cast, job: Job) -> None:
    """A request with this key of CKAN's validation is answered like any other."""
    assert cast.owner.result("files_job_list", __junk=junk, limit=1)["count"] == 1
    assert cast.owner.call("files_job_list", __junk=junk, task=[{"a": 1}])[0] == 409
