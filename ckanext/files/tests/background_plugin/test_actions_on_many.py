"""The actions on queues, workers, schedules and many jobs: rights, and what comes of them."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, queues
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background_plugin.conftest import Cast, LiveWorker
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, count_commits, engine
from ckanext.files.tests.support.jobs import defer, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "files_background", "files_test_probe")

OWN = ("files_queue_list", "files_job_rate", "files_jobs_cancel", "files_jobs_retry")
ONLY_SYSADMINS: dict[str, dict[str, str]] = {
    "files_worker_list": {},
    "files_schedule_list": {},
    "files_queue_pause": {"queue": "mails"},
    "files_queue_resume": {"queue": "mails"},
}


@pytest.fixture(autouse=True)
def all_resumed(loaded: Any) -> Any:
    yield
    model.Session.remove()
    change(f"DELETE FROM {SCHEMA}.files_paused_queue")


@pytest.fixture
def theirs(cast: Cast, ask_for: Any, tasks: TasksManager) -> dict[str, list[Job]]:
    """A job that failed and one that waits, of each of two users."""
    found: dict[str, list[Job]] = {}
    for client in (cast.owner, cast.other):
        failed = ask_for(lambda: sample.fail_after.delay("x"), client)
        tasks.run_pending_jobs()
        mails = sample.noop.configure(queue="mails", countdown=999)
        found[client.name] = [failed, ask_for(mails.delay, client)]
    return found


@pytest.mark.parametrize("action", [*OWN, *ONLY_SYSADMINS])
def test_rights(action: str, cast: Cast) -> None:
    data = ONLY_SYSADMINS.get(action, {})
    assert cast.sysadmin.call(action, **data)[0] == 200
    assert cast.anonymous.call(action, **data)[0] == 403
    assert cast.owner.call(action, **data)[0] == (200 if action in OWN else 403)
    if action in OWN:
        assert cast.owner.call(action, user_id=cast.other.name)[0] == 403
        assert cast.owner.call(action, user_id=cast.owner.name)[0] == 200
    assert cast.anonymous.call("help_show", name=action)[0] == 200


def counted(client: Client, **data: Any) -> dict[str, dict[str, int]]:
    return {each["queue"]: each["jobs"] for each in client.result("files_queue_list", **data)}


def test_counts(cast: Cast, theirs: Any) -> None:
    """Of own jobs only: neither a number nor the name of a queue is of other users."""
    defer(sample.noop.configure(queue="letters"))
    own = {"default": {"failed": 1}, "mails": {"todo": 1}}
    assert counted(cast.owner) == own
    assert counted(cast.sysadmin, user_id=cast.other.name) == own
    assert counted(cast.sysadmin) == {
        "default": {"failed": 2},
        "letters": {"todo": 1},
        "mails": {"todo": 2},
    }
    shown = cast.owner.result("files_queue_list")
    assert [set(each) for each in shown] == [{"queue", "jobs", "more", "paused"}] * 2
    assert [each["more"] for each in shown] == [[], []]

    def failed(client: Client) -> int:
        rate = client.result("files_job_rate")
        assert (len(rate["minutes"]), rate["since"]) == (60, None)
        return sum(each["failed"] for each in rate["minutes"])

    assert (failed(cast.owner), failed(cast.sysadmin)) == (1, 2)


def test_queues_of_a_sysadmin(cast: Cast, worker: LiveWorker) -> None:
    """Whether a queue has a worker, and whether one is missing."""
    for queue in ("mails", "elsewhere"):
        defer(sample.noop.configure(queue=queue))
    call("files_queue_pause", None, queue="nothing-there")
    found = {each["queue"]: each for each in cast.sysadmin.result("files_queue_list")}
    told = {name: (each["served"], each["is_stuck"]) for name, each in found.items()}
    assert told == {
        "mails": (True, False),
        "elsewhere": (False, True),
        "nothing-there": (False, False),
    }
    assert found["nothing-there"]["paused"].endswith("+00:00")
    call("files_queue_pause", None, queue="elsewhere")
    assert not any(each["is_stuck"] for each in cast.sysadmin.result("files_queue_list"))
    workers = cast.sysadmin.result("files_worker_list")
    [shown] = [each for each in workers if each["id"] == worker.worker_id]
    assert shown["state"] == "alive"
    assert shown["queues"] == ["mails", "letters"]


def test_schedules(cast: Cast, make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckanext.files.background import periodic
    from ckanext.files.background.app import app

    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})

    @periodic(cron="0 12 1 1 *", timezone="Asia/Kolkata")
    @make_task
    def tidy(timestamp: int) -> None: ...

    job = defer(tidy, timestamp=0)
    change(
        f"INSERT INTO {SCHEMA}.procrastinate_periodic_defers"
        " (task_name, periodic_id, defer_timestamp, job_id) VALUES (:task, '', 1000000000, :job)",
        task=tidy.name,
        job=job.id,
    )
    [shown] = cast.sysadmin.result("files_schedule_list")
    assert shown["next"].endswith("-01-01T06:30:00+00:00")
    assert (shown["last"], shown["job"]) == ("2001-09-09T01:46:40+00:00", job.id)
    change(f"DELETE FROM {SCHEMA}.procrastinate_periodic_defers")


def test_pause_and_resume(cast: Cast, theirs: Any) -> None:
    owner = cast.sysadmin
    assert owner.result("files_queue_pause", queue="mails") == {"queue": "mails", "changed": True}
    assert not owner.result("files_queue_pause", queue="mails")["changed"]
    assert queues.paused()["mails"].user_id == owner.id
    job = theirs[cast.owner.name][1]
    assert cast.owner.result("files_job_show", id=job.id)["paused"]
    mails = {each["queue"]: each["paused"] for each in cast.owner.result("files_queue_list")}
    assert (bool(mails["mails"]), mails["default"]) == (True, None)
    assert owner.result("files_queue_resume", queue="mails")["changed"]
    assert not owner.result("files_queue_resume", queue="mails")["changed"]
    for bad in ("", None, "x" * 41, "\0", ["a"]):
        assert owner.call("files_queue_pause", queue=bad)[0] == 409


def test_change_what_was_found(cast: Cast, theirs: Any) -> None:
    """Only own jobs, and of these only the ones that the filters name."""
    mine, other = theirs[cast.owner.name], theirs[cast.other.name]
    changed = cast.owner.result("files_jobs_retry", queue="mails")
    assert changed == {"changed": 0, "more": False}
    assert cast.owner.result("files_jobs_retry", status="failed")["changed"] == 1
    assert [state(job) for job in (*mine, *other)] == ["todo", "todo", "failed", "todo"]
    assert cast.owner.result("files_jobs_cancel", text="no such text")["changed"] == 0
    assert cast.owner.result("files_jobs_cancel", most=1) == {"changed": 2, "more": True}
    assert [state(job) for job in (*mine, *other)] == ["cancelled"] * 2 + ["failed", "todo"]
    found = cast.sysadmin.result("files_jobs_cancel", queue="mails", user_id=cast.other.name)
    assert found["changed"] == 1
    for bad in ({"status": "done"}, {"most": 0}, {"text": ["x"]}):
        assert cast.owner.call("files_jobs_cancel", **bad)[0] == 409


@pytest.mark.parametrize("action", ["files_jobs_cancel", "files_jobs_retry"])
def test_change_no_more_than_was_meant(action: str, cast: Cast, theirs: Any) -> None:
    """A slip in a filter changes nothing: without the filter it would be all jobs."""
    names = ("id", "status", "task", "queue", "task_id", "user_id", "text", "before")
    slips = [{name: blank} for name in names for blank in ("", None)]
    slips += [{name: "mails"} for name in ("queues", "limit", "__junk", "__extras")]
    jobs = [job for each in theirs.values() for job in each]
    before = [state(job) for job in jobs]
    for slip in slips:
        for client in (cast.owner, cast.sysadmin):
            assert client.call(action, **slip)[0] == 409, slip
    assert [state(job) for job in jobs] == before


def test_change_some_of_what_was_found(cast: Cast, theirs: Any) -> None:
    [failed, first], [_, other] = theirs[cast.owner.name], theirs[cast.other.name]
    second = defer(sample.noop)
    ids = [first.id, other.id, second.id]
    assert cast.owner.result("files_jobs_cancel", id=other.id)["changed"] == 0
    assert cast.sysadmin.result("files_jobs_cancel", id=ids, before=second.id)["changed"] == 2
    assert [state(job) for job in (first, other, second)] == ["cancelled", "cancelled", "todo"]
    assert cast.owner.result("files_jobs_retry", id=[failed.id, first.id])["changed"] == 2
    assert [state(job) for job in (failed, first, other)] == ["todo", "todo", "cancelled"]


@pytest.mark.parametrize(
    ("action", "data"),
    [("files_queue_pause", {"queue": "q"}), ("files_jobs_cancel", {}), ("files_jobs_retry", {})],
)
def test_commit(action: str, data: Any, one_of_each: dict[str, Job]) -> None:
    def look() -> Any:
        query = sa.text(f"SELECT count(*) FROM {SCHEMA}.files_paused_queue")
        with engine().connect() as connection:
            return connection.execute(query).scalar(), [state(job) for job in one_of_each.values()]

    before = look()
    context: Any = {"ignore_auth": True, "defer_commit": True}
    tk.get_action(action)(context, dict(data))
    assert look() == before
    model.Session.rollback()
    with count_commits() as commits:
        call(action, None, **data)
    assert len(commits) == 1
    assert look() != before


@pytest.mark.parametrize("action", [*OWN, *ONLY_SYSADMINS])
def test_without_the_tables(action: str, cast: Cast) -> None:
    model.Session.execute(sa.text(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away"))
    with pytest.raises(tk.ValidationError, match="ckan files background init"):
        call(action, cast.sysadmin.name, **ONLY_SYSADMINS.get(action, {}))
    model.Session.rollback()
