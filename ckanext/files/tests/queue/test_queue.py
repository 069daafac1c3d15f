"""Tasks: when they run, what they receive, what becomes of a failure."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import DBAPIError

from ckanext.files.queue import current_queue
from ckanext.files.shared import OutOfQueueError, TaskQueue, add_task, with_task_queue
from ckanext.files.tests.support.effects import Rows, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import (
    ProbeError,
    fail,
    in_action,
    in_hold,
    nothing,
)
from ckanext.files.tests.support.solr import retitle, titles
from ckanext.files.tests.support.users import call
from ckanext.files.transaction.session import HeldSession

loaded = load_plugins("files", "files_test_probe")


def in_action_apart(do: Callable[[], Any], **context: Any) -> Any:
    """Do something within an action that commits before its tasks run."""
    return in_action(do, "probe_apart", **context)


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
    context: Any = {"ignore_auth": True, "return_id_only": only_id}
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


def test_exception_of_a_task_is_not_changed() -> None:
    error = tk.NotAuthorized("you may not")

    def refuse(*_: Any) -> None:
        raise error

    with pytest.raises(tk.NotAuthorized) as raised:
        in_action(lambda: add_task(refuse))
    assert raised.value is error
    assert raised.value.__cause__ is None


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
        retitle(dataset["id"], "after")

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
        in_action_apart(do)
    model.Session.commit()
    assert rows.committed == {"action"}


def test_atomic_false_commits_what_the_tasks_did(rows: Rows) -> None:
    """Unless its caller commits."""
    in_action_apart(lambda: add_task(lambda *_: rows.write("row")))
    assert rows.committed == {"row"}
    model.Session.remove()
    in_action_apart(lambda: add_task(lambda *_: rows.write("deferred")), defer_commit=True)
    assert rows.committed == {"row"}
    model.Session.rollback()


def test_eager_undoes_what_was_committed_before_the_first_task(rows: Rows) -> None:
    def do() -> None:
        rows.write("row")
        model.Session.commit()
        fail()

    with pytest.raises(ProbeError):
        in_hold(do)
    assert not rows.committed


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="eager"):
        with_task_queue(atomic=False, eager=True)(call)
    with pytest.raises(OutOfQueueError, match=r"package_create.*with_task_queue"):
        add_task(nothing)
    with pytest.raises(TypeError, match="transfer"):
        in_action(lambda: add_task("transfer"))  # pyright: ignore[reportArgumentType]


def test_queue_does_not_go_into_other_threads() -> None:
    """Not even with a copied context: that thread has a session of its own."""
    raised = []

    def do() -> None:
        context = contextvars.copy_context()

        def in_thread() -> None:
            with pytest.raises(OutOfQueueError) as error:
                context.run(add_task, nothing)
            raised.append(error.value)

        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()

    in_action(do)
    assert len(raised) == 1


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


@pytest.mark.parametrize(
    "decorate",
    [
        lambda f: tk.chained_action(with_task_queue(f)),
        lambda f: with_task_queue(tk.chained_action(f)),
    ],
    ids=["queue_inside", "queue_outside"],
)
def test_chained_action(decorate: Any, rows: Rows) -> None:
    @decorate
    def chained(next_action: Any, context: Any, data_dict: Any) -> str:
        add_task(lambda *_: rows.write("task"))
        return next_action(context, data_dict)

    assert chained.chained_action
    result = chained(lambda context, data_dict: "next", {"defer_commit": True}, {})
    assert result == "next"
    assert not rows.committed
    model.Session.rollback()
    assert chained(lambda context, data_dict: "next", {}, {}) == "next"
    assert rows.committed == {"task"}


def test_memo_is_of_one_call_only() -> None:
    def do() -> TaskQueue:
        queue = current_queue()
        assert not queue.memo
        queue.memo["key"] = 1
        return queue

    first = in_action(do)
    assert first is not in_action(do)
    assert first.action == "_probe"
