"""Tasks: when they run, what they receive, what becomes of a failure."""

from __future__ import annotations

import contextvars
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import DBAPIError

from ckanext.files.shared import OutOfQueueError, add_task, with_task_queue
from ckanext.files.tests.support.effects import Rows, count_commits, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold, nothing
from ckanext.files.tests.support.solr import titles
from ckanext.files.tests.support.users import call, site_user
from ckanext.files.transaction.session import HeldSession

loaded = load_plugins("files", "activity", "files_test_probe")

ACTIVITIES = "SELECT count(*) FROM activity WHERE object_id = :id"


@pytest.fixture(scope="module", autouse=True)
def client(loaded: Any, migrate_db_for: Any) -> Client:
    """Asks over HTTP, as a sysadmin."""
    migrate_db_for("activity")
    app = loaded()
    # the test application would let exceptions through to the test
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    app.flask_app.testing = False
    return Client(app, sysadmin=True)


def test_order_and_arguments() -> None:
    """The tasks of an inner action run at its end."""
    seen: list[Any] = []

    def task(name: str) -> Any:
        def record(result: Any, idx: int, prev: Any) -> str:
            seen.append((name, result, idx, prev))
            if name == "first":
                add_task(task("queued by first"))
            return f"from {name}"

        return record

    def inner() -> str:
        add_task(task("inner"))
        return "inner result"

    def outer() -> str:
        add_task(task("first"))
        seen.append(in_action(inner))
        add_task(task("second"))
        return "result"

    assert in_action(outer) == "result"
    assert seen == [
        ("inner", "inner result", 0, None),
        "inner result",
        ("first", "result", 0, None),
        ("second", "result", 1, "from first"),
        ("queued by first", "result", 2, "from second"),
    ]


@pytest.mark.parametrize("only_id", [False, True])
def test_result_is_exactly_what_the_action_returned(only_id: bool, hooks: Any, unique: Any) -> None:
    seen = []
    hooks["before:package_create"] = lambda *_: add_task(lambda result, *_: seen.append(result))
    context: Any = {"user": site_user(), "return_id_only": only_id}
    created = tk.get_action("package_create")(context, {"name": unique("dataset")})
    assert seen[0] is created
    assert isinstance(created, str if only_id else dict)


def test_tasks_do_not_run_when_the_action_fails(rows: Rows) -> None:
    def do() -> None:
        add_task(lambda *_: pytest.fail("the task runs"))
        rows.write("row")
        model.Session.commit()
        raise tk.ObjectNotFound("gone")

    with pytest.raises(tk.ObjectNotFound, match="gone"):
        in_action(do)
    assert not rows.committed


def test_task_may_roll_back_itself_but_not_the_action(rows: Rows) -> None:
    def task(*_: Any) -> None:
        rows.write("task")
        model.Session.rollback()

    def do() -> None:
        add_task(lambda *_: rows.write("before"))
        add_task(task)
        add_task(lambda *_: rows.write("after"))
        rows.write("action")  # not even committed

    in_action(do)
    assert rows.committed == {"action", "before", "after"}


def test_task_uses_savepoints_and_actions(rows: Rows) -> None:
    dataset = factories.Dataset(title="before")

    def write_and_divide_by_zero() -> None:
        with model.Session.begin_nested():
            rows.write("undone")
            model.Session.execute(sa.text("SELECT 1 / 0"))

    def task(*_: Any) -> None:
        with pytest.raises(DBAPIError):
            write_and_divide_by_zero()
        with model.Session.begin_nested():
            rows.write("kept")
        call("package_patch", site_user(), id=dataset["id"], title="after")

    with count_commits() as commits:
        in_action(lambda: add_task(task))
    assert len(commits) == 1
    assert rows.committed == {"kept"}
    assert titles(dataset["id"]) == ("after", "after")


def test_action_without_tasks_is_not_held(rows: Rows) -> None:
    def do() -> None:
        rows.write("row")
        model.Session.commit()
        assert not isinstance(model.Session(), HeldSession)
        assert rows.committed == {"row"}

    in_action(do)


def test_atomic_false_commits_before_the_tasks(rows: Rows) -> None:
    def fail_after_the_commit(*_: Any) -> None:
        assert rows.committed == {"action"}
        rows.write("task")
        fail()

    def do() -> None:
        add_task(lambda *_: rows.write("undone with the failing one"))
        add_task(fail_after_the_commit)
        rows.write("action")
        model.Session.commit()

    with pytest.raises(ProbeError):
        in_action(do, "probe_apart")
    model.Session.commit()
    assert rows.committed == {"action"}


def test_atomic_false_commits_what_the_tasks_did(rows: Rows) -> None:
    """Unless its caller commits."""
    for context, committed in ({"defer_commit": True}, set()), ({}, {"row"}):
        in_action(lambda: add_task(lambda *_: rows.write("row")), "probe_apart", **context)
        assert rows.committed == committed
        model.Session.rollback()


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="eager"):
        with_task_queue(atomic=False, eager=True)(call)
    with pytest.raises(OutOfQueueError, match=r"package_create.*with_task_queue"):
        add_task(nothing)
    with pytest.raises(TypeError, match="transfer"):
        in_action(lambda: add_task("transfer"))  # pyright: ignore[reportArgumentType]


def test_queue_does_not_go_into_other_threads() -> None:
    """Not even with a copied context: that thread has a session of its own."""

    def do() -> None:
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as thread, pytest.raises(OutOfQueueError):
            thread.submit(context.run, add_task, nothing).result()

    in_action(do)


def test_decorated_action_stays_recognizable() -> None:
    def plain(context: Any, data_dict: Any) -> None:
        """Say what it does."""

    plain.side_effect_free = True  # pyright: ignore[reportFunctionMemberAccess]
    plain.auth_audit_exempt = True  # pyright: ignore[reportFunctionMemberAccess]
    decorated: Any = with_task_queue(plain)
    assert decorated.__name__ == "plain"
    assert decorated.__doc__ == "Say what it does."
    assert decorated.side_effect_free
    assert decorated.auth_audit_exempt
    assert inspect.signature(decorated) == inspect.signature(plain)


@pytest.mark.parametrize("queue_inside", [True, False])
def test_chained_action(queue_inside: bool, rows: Rows) -> None:
    first, then = tk.chained_action, with_task_queue

    @(first if queue_inside else then)
    @(then if queue_inside else first)
    def chained(next_action: Any, context: Any, data_dict: Any) -> str:
        add_task(lambda *_: rows.write("task"))
        return next_action(context, data_dict)

    marked: Any = chained
    assert marked.chained_action
    assert chained(lambda context, data_dict: "next", {"defer_commit": True}, {}) == "next"
    assert not rows.committed
    model.Session.rollback()
    assert chained(lambda context, data_dict: "next", {}, {}) == "next"
    assert rows.committed == {"task"}


def lose_connection(*_: Any) -> None:
    pid = model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    look("SELECT pg_terminate_backend(:pid)", pid=pid)
    model.Session.execute(sa.text("SELECT 1"))


def refuse(*_: Any) -> None:
    raise tk.ValidationError({"notes": ["the task does not like it"]})


@pytest.mark.parametrize(("task", "status"), [(refuse, 409), (fail, 500), (lose_connection, 500)])
def test_failing_task_and_the_next_request(
    task: Any, status: int, client: Client, hooks: Any, rows: Rows
) -> None:
    dataset = factories.Dataset(title="before")["id"]
    activities = look(ACTIVITIES, id=dataset)

    def patch(*tasks: Any) -> Any:
        hooks["before:package_update"] = lambda *_: [add_task(one) for one in tasks]
        return client.ask("package_patch", id=dataset, title="after")

    response = patch(lambda *_: rows.write("never"), task)
    assert response.status_code == status
    if status == 409:
        assert response.json["error"]["notes"] == ["the task does not like it"]
    assert not rows.committed
    assert titles(dataset) == ("before", "before")
    assert look(ACTIVITIES, id=dataset) == activities

    response = patch(lambda *_: rows.write("row"))
    assert response.status_code == 200
    assert response.json["result"]["title"] == "after"
    assert rows.committed == {"row"}
    assert titles(dataset) == ("after", "after")
    assert look(ACTIVITIES, id=dataset) == activities + 1


def test_activities_of_inner_actions_are_part_of_the_commit(client: Client) -> None:
    dataset = factories.Dataset(title="before")["id"]
    activities = look(ACTIVITIES, id=dataset)

    def do() -> None:
        call("package_patch", client.name, id=dataset, title="after")
        inside = model.Session.execute(sa.text(ACTIVITIES), {"id": dataset}).scalar()
        assert inside == activities + 1
        assert look(ACTIVITIES, id=dataset) == activities
        fail()

    with pytest.raises(ProbeError):
        in_hold(do)
    assert look(ACTIVITIES, id=dataset) == activities
