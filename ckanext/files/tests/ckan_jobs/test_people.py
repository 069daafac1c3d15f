"""What people see of jobs of extensions, and may do with them. Arguments hold API tokens."""

from __future__ import annotations

import json
import re
import secrets
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from sqlalchemy.exc import DBAPIError

from ckanext.files.background import overview, record
from ckanext.files.background.testing import TasksManager
from ckanext.files.ckan_jobs import store
from ckanext.files.tests.background_plugin.conftest import Cast, app, ask_for, cast
from ckanext.files.tests.background_plugin.test_pages import get, post
from ckanext.files.tests.ckan_jobs.test_queue import queue, row, set_state, work
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.console import run_background as run
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.portal import Client

__all__ = ["app", "ask_for", "cast", "queue"]

TOKEN = "secret-token"
TITLE = "Load <b>rivers</b> & lakes"
ON_PAGE = "Load &lt;b&gt;rivers&lt;/b&gt; &amp; lakes"
FUNCTION = f"{work.__module__}.work"


def enqueue(**more: Any) -> Any:
    arguments = [TOKEN, {"api_key": TOKEN}]
    return tk.enqueue_job(work, arguments, {"token": TOKEN}, title=TITLE, **more)


@pytest.fixture
def job(ask_for: Any) -> Any:
    """A job of an extension, for which the owner has asked."""
    found = ask_for(enqueue)
    assert TOKEN in str(found.args)
    return found


def everything(cast: Cast, number: int) -> dict[str, str]:
    """Return what people see of a job, by where."""

    def search(client: Client) -> str:
        return json.dumps(client.result("files_job_list", text=TOKEN)["results"])

    def show(client: Client) -> str:
        return json.dumps(client.result("files_job_show", id=number))

    found: dict[str, str] = {
        "list": output("list"),
        "list --json": output("list", "--json"),
        "show": output("show", str(number)),
        "show --json": output("show", "--json", str(number)),
    }
    for who, client in (("owner", cast.owner), ("sysadmin", cast.sysadmin)):
        found |= {f"search by {who}": search(client), f"files_job_show by {who}": show(client)}
        for path in ("/dashboard/jobs", "/job/{}", "/job/rows?id={}"):
            found[f"{path} of {who}"] = get(client, path.format(number)).body
    found["/ckan-admin/jobs"] = get(cast.sysadmin, "/ckan-admin/jobs?status=todo").body
    return found


def test_arguments_are_nowhere(cast: Cast, ask_for: Any, job: Any) -> None:
    number = row(job).id
    assert [where for where, text in everything(cast, number).items() if TOKEN in text] == []
    ask = cast.sysadmin.result
    assert TOKEN not in json.dumps([ask("job_list"), ask("job_show", id=job.id)])
    ours = everything(cast, ask_for(lambda: sample.write.delay(TOKEN)).id)
    places = [where for where, text in ours.items() if TOKEN not in text]
    # negative control: arguments of our tasks are everywhere but in the sysadmin's own list
    assert places == ["/dashboard/jobs of sysadmin"]


def fail(*_: Any, **__: Any) -> None:
    raise ValueError("it fails")


def test_arguments_are_nowhere_after_a_failure(
    cast: Cast, ask_for: Any, tasks: TasksManager
) -> None:
    """The error is shown, its traceback to sysadmins, and no values of variables."""
    job = ask_for(lambda: tk.enqueue_job(fail, [TOKEN], title=TITLE))
    tasks.run_pending_jobs()
    found = everything(cast, row(job).id)
    assert [where for where, text in found.items() if TOKEN in text] == []
    for where in ("show", "files_job_show by owner", "/job/{} of owner"):
        assert "it fails" in found[where]


def test_title_and_function_are_shown(cast: Cast, job: Any, ask_for: Any) -> None:
    number = row(job).id
    found = everything(cast, number)
    del found["/dashboard/jobs of sysadmin"]
    for where, text in found.items():
        if where.startswith("search"):
            assert text == "[]"
        elif where.startswith("/"):
            assert ON_PAGE in text
            assert f"<code>{FUNCTION}</code>" in text
        else:
            assert TITLE in text
            assert FUNCTION in text
    assert "Arguments" not in found["/job/{} of owner"]
    [by_title] = cast.owner.result("files_job_list", text="RIVERS")["results"]
    assert (by_title["id"], by_title["title"], by_title["task"]) == (number, TITLE, FUNCTION)
    assert by_title["rq_id"] == job.id
    untitled = row(ask_for(lambda: tk.enqueue_job(work))).id
    assert cast.owner.result("files_job_show", id=untitled)["title"] == FUNCTION
    assert get(cast.owner, f"/job/{untitled}").body.count(f"<code>{FUNCTION}</code>") == 1


def test_either_id(cast: Cast, job: Any, ask_for: Any) -> None:
    """Logs and ``ckan jobs`` have RQ's id, also of a later run; pages and ``list`` the number."""
    number = row(job).id
    change(f"UPDATE {S}.procrastinate_jobs SET attempts = 2 WHERE id = {number}")
    said = output("show", str(number))
    assert re.search(rf"^  RQ job id +{job.id}$", said, re.M)
    assert output("show", job.id) == output("show", f"{job.id}-run-2") == said
    assert json.loads(output("show", "--json", job.id))["rq_id"] == job.id
    assert cast.owner.result("files_job_show", id=job.id)["id"] == number
    assert f"<bdi>{job.id}</bdi>" in get(cast.owner, f"/job/{job.id}").body
    status, refused = cast.other.call("files_job_show", id=job.id)
    unknown = cast.other.call("files_job_show", id="unknown")[1]
    assert (status, str(refused).replace(job.id, "unknown")) == (403, str(unknown))
    assert output("cancel", job.id) == f"Job {number} is cancelled\n"
    assert output("retry", job.id) == f"Job {number} waits to run again\n"
    assert "Only sysadmins" in str(cast.owner.call("files_job_cancel", id=job.id))
    assert cast.sysadmin.result("files_job_cancel", id=job.id)["status"] == "cancelled"
    assert cast.sysadmin.result("files_job_retry", id=job.id)["status"] == "todo"
    ours = record.find(ask_for(sample.noop.delay).id)
    assert ours
    assert ours.rq_id is None


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "x" * 2000, "{}-run-2", "{}-run-0"])
def test_id_that_no_job_can_have(queue: Any, name: str, odd: str) -> None:
    """Nor the id of a run that has not begun."""
    queue.enqueue(work, job_id=name)
    assert record.find(odd.format(name)) is None


@pytest.mark.parametrize("rq_id", ["a\tb\n", "x" * 1000, "a/b", "ä ?"], ids=range(4))
def test_any_id_that_tables_hold(cast: Cast, queue: Any, rq_id: str) -> None:
    """Actions take what RQ and the tables have taken. An address takes it without a slash."""
    job = queue.create_job(work)
    job._id = rq_id
    queue.enqueue_job(job)
    assert cast.sysadmin.result("files_job_show", id=rq_id)["rq_id"] == rq_id
    assert get(cast.sysadmin, f"/job/{row(job).id}").status_code == 200
    found = get(cast.sysadmin, f"/job/{quote(rq_id)}")
    assert found.status_code == (404 if "/" in rq_id else 200)
    assert cast.sysadmin.result("files_job_cancel", id=rq_id)["status"] == "cancelled"


def test_ids_that_no_table_holds(cast: Cast) -> None:
    for rq_id in ("a\0", "\ud83d", "x" * 1001):
        status, error = cast.sysadmin.call("files_job_show", id=rq_id)
        assert (status, error["id"]) == (409, ["Must be a short text without control characters"])


def test_id_that_no_job_has(cast: Cast) -> None:
    assert run("show", "no-such-run-2") == (1, "Error: Job no-such-run-2 does not exist\n")
    assert run("retry", "no-such") == (1, "Job no-such does not exist\n")
    assert cast.sysadmin.call("files_job_show", id="no-such")[0] == 404


def test_id_is_taken_between_check_and_look(
    cast: Cast, ask_for: Any, queue: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another user's job, which is not shown."""
    ask_for(lambda: queue.enqueue(work, job_id=name))
    find, looks = record.find, 0

    def find_and_take(job_id: int | str) -> record.JobRecord | None:
        nonlocal looks
        found, looks = find(job_id), looks + 1
        if looks == 1:
            with ThreadPoolExecutor(1) as threads:
                threads.submit(queue.enqueue, work, job_id=name).result()
        return found

    monkeypatch.setattr(record, "find", find_and_take)
    status, answer = cast.owner.call("files_job_show", id=name)
    assert (status, looks) == (403, 3)
    assert name not in str(answer.get("result"))


def test_newest_job_of_an_id(queue: Any, name: str) -> None:
    """Current or not: ``ckan jobs show`` does not find a job that was cancelled."""
    first = row(queue.enqueue(work, job_id=name)).id
    job = queue.enqueue(work, job_id=name)
    assert row(job).id > first
    for change_it in (lambda: None, job.cancel, job.delete):
        change_it()
        model.Session.remove()
        found = record.find(name)
        assert found
        assert found.id == row(job).id
    assert "cancelled" in output("show", name)
    other = queue.enqueue(work, job_id=f"{name}-run-2")
    found = record.find(other.id)
    assert found
    assert found.id == row(other).id


def test_columns_of_a_list(cast: Cast, job: Any, ask_for: Any) -> None:
    """Each has what its head says, and those that no job has anything in are left out."""

    def columns() -> list[list[str]]:
        return [re.split(r"  +", line) for line in output("list").splitlines()]

    head, line = columns()
    assert head == ["id", "status", "created", "queue", "title", "task", "remark"]
    assert line[4:] == [TITLE, FUNCTION, "waits for a worker"]
    ask_for(lambda: tk.enqueue_job(work, title="x" * 100))
    assert columns()[1][4] == "x" * 52 + "..."
    output("cancel", "--status", "waiting", "--yes")
    output("purge", "--older-than", "0")
    ask_for(lambda: sample.write.delay("a"))
    head, line = columns()
    assert head == ["id", "status", "created", "queue", "task", "remark"]
    assert line[4] == f'{sample.write.name}(name="a")'


def test_worker_that_runs_it(job: Any) -> None:
    worker = f"INSERT INTO {S}.procrastinate_workers DEFAULT VALUES RETURNING id"
    with engine().begin() as connection:
        worker_id = connection.exec_driver_sql(worker).scalar()
    set_state(job, f"doing', worker_id = '{worker_id}")
    with engine().connect() as connection:
        [running] = [each.running for each in overview.workers(connection, 30) if each.running]
    assert running == [{"id": row(job).id, "task": FUNCTION, "title": TITLE}]
    set_state(job, "succeeded', worker_id = NULL, abort_requested = 'false")
    change(f"DELETE FROM {S}.procrastinate_workers WHERE id = {worker_id}")


def test_errors_have_no_arguments(queue: Any) -> None:
    """SQLAlchemy writes values of a statement that failed, such as the hash, into its error."""
    model.Session.add(model.Tag(name="tag"))
    payload = queue.create_job(work, meta={"token": TOKEN})._payload()
    with pytest.raises(DBAPIError) as caught:  # callers check ids before
        store.put(secrets.token_hex(5000), payload, store.Place(queue.name, FUNCTION), None)
    assert "index row" in str(caught.value)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    caught.value.hide_parameters = False
    assert TOKEN in str(caught.value)  # negative control


def test_only_sysadmins_change_it(cast: Cast, job: Any, ask_for: Any) -> None:
    """CKAN's own actions on jobs have the same rule. The owner follows the job."""
    number, ours = row(job).id, ask_for(sample.noop.delay).id
    assert cast.owner.result("files_job_show", id=number)["status"] == "todo"
    assert cast.owner.call("job_cancel", id=job.id)[0] == 403
    for state, verb in (("todo", "cancel"), ("failed", "retry")):
        set_state(job, state)
        status, error = cast.owner.call(f"files_job_{verb}", id=number)
        assert (status, "Only sysadmins" in str(error)) == (403, True)
        assert "Only sysadmins" not in str(cast.other.call(f"files_job_{verb}", id=number))
        assert post(cast.owner, f"/job/{verb}/{number}").status_code == 404
        assert row(job).status == state
        button = f'id="files-job-{number}-{verb}"'
        paths = (f"/job/{number}", f"/job/rows?id={number}&id={ours}")
        assert all(button not in get(cast.owner, path).body for path in paths)
        assert all(button in get(cast.sysadmin, path).body for path in paths)
        assert cast.sysadmin.call(f"files_job_{verb}", id=number)[0] == 200
        assert row(job).status != state
    assert f'id="files-job-{ours}-cancel"' in get(cast.owner, paths[1]).body


@pytest.mark.parametrize(("verb", "before"), [("cancel", "todo"), ("retry", "failed")])
def test_changes_of_many(
    verb: str, before: str, cast: Cast, job: Any, ask_for: Callable[..., Any]
) -> None:
    """The changes of a user leave such jobs out, the changes of a sysadmin do not."""
    set_state(job, before)
    ours = ask_for(sample.noop.delay).id
    change(f"UPDATE {S}.procrastinate_jobs SET status = '{before}' WHERE id = {ours}")
    result = cast.owner.result(f"files_jobs_{verb}")
    assert (result, row(job).status) == ({"changed": 1, "more": False}, before)
    change(f"UPDATE {S}.procrastinate_jobs SET status = '{before}' WHERE id = {ours}")
    assert post(cast.owner, "/job/change", action=verb, scope="own").status_code == 302
    assert row(job).status == before
    assert cast.sysadmin.result(f"files_jobs_{verb}", user_id=cast.owner.id)["changed"] == 1
    assert row(job).status != before
