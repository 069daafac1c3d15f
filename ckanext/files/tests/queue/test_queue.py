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
from ckanext.files.shared import OutOfQueueError, TaskQueue, add_task, on_commit, with_task_queue
from ckanext.files.tests.support.effects import Effects, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.transaction.session import HeldSession

loaded = load_plugins("files", "files_test_probe")


@with_task_queue
def action(context: Any, data_dict: Any) -> Any:
    """Do whatever the test wants."""
    return data_dict["do"]()


def run(do: Callable[[], Any], **context: Any) -> Any:
    return action(context, {"do": do})


def test_order_and_arguments() -> None:
    seen = []

    def task(name: str) -> Any:
        def record(result: Any, idx: int, prev: Any) -> str:
            seen.append((name, result, idx, prev))
            if name == "first":
                add_task(task("queued by first"))
            return f"from {name}"

        return record

    def do() -> str:
        add_task(task("first"))
        add_task(task("second"))
        return "result"

    assert run(do) == "result"
    assert seen == [
        ("first", "result", 0, None),
        ("second", "result", 1, "from first"),
        ("queued by first", "result", 2, "from second"),
    ]


def test_result_is_exactly_what_the_action_returned(hooks: Any, unique: Any) -> None:
    seen = []
    hooks["before:package_create"] = lambda *_: add_task(lambda result, *_: seen.append(result))
    context: Any = {"user": factories.Sysadmin()["name"]}
    created = tk.get_action("package_create")(context.copy(), {"name": unique("dataset")})
    assert seen[0] is created
    context["return_id_only"] = True
    only_id = tk.get_action("package_create")(context, {"name": unique("dataset")})
    assert seen[1] == only_id
    assert isinstance(only_id, str)


def test_inner_tasks_run_at_the_end_of_their_own_action() -> None:
    seen = []

    def inner() -> str:
        add_task(lambda result, idx, prev: seen.append((result, idx)))
        return "inner"

    def outer() -> str:
        add_task(lambda result, idx, prev: seen.append((result, idx)))
        run(inner)
        seen.append("after inner")
        return "outer"

    run(outer)
    assert seen == [("inner", 0), "after inner", ("outer", 0)]


def test_tasks_do_not_run_when_the_action_fails(effects: Effects, unique: Any) -> None:
    name, ran = unique("name"), []

    def do() -> None:
        add_task(lambda *_: ran.append(1))
        effects.write(name)
        model.Session.commit()
        raise tk.ObjectNotFound("gone")

    with pytest.raises(tk.ObjectNotFound, match="gone"):
        run(do)
    assert not ran
    assert not effects.exists(name)


def test_exception_of_a_task_is_not_changed() -> None:
    error = tk.NotAuthorized("you may not")

    def fail(*_: Any) -> None:
        raise error

    with pytest.raises(tk.NotAuthorized) as raised:
        run(lambda: add_task(fail))
    assert raised.value is error
    assert raised.value.__cause__ is None


def test_task_may_roll_back_itself_but_not_the_action(effects: Effects, unique: Any) -> None:
    name = unique("name")

    def task(*_: Any) -> None:
        effects.write(name + "-task")
        model.Session.rollback()

    def do() -> None:
        add_task(lambda *_: effects.write(name + "-before"))
        add_task(task)
        add_task(lambda *_: effects.write(name + "-after"))
        effects.write(name + "-action")  # not even committed

    run(do)
    assert [effects.exists(f"{name}-{what}") for what in ("action", "before", "task", "after")] == [
        True,
        True,
        False,
        True,
    ]


def test_task_uses_savepoints_and_actions(effects: Effects, unique: Any) -> None:
    name = unique("name")
    dataset = factories.Dataset(title="before")

    def write_and_divide_by_zero(name: str) -> None:
        with model.Session.begin_nested():
            effects.write(name)
            model.Session.execute(sa.text("SELECT 1 / 0"))

    def task(*_: Any) -> None:
        with pytest.raises(DBAPIError):
            write_and_divide_by_zero(name + "-undone")
        with model.Session.begin_nested():
            effects.write(name + "-kept")
        patch = {"id": dataset["id"], "title": "after"}
        tk.get_action("package_patch")({"ignore_auth": True}, patch)

    with count_commits() as commits:
        run(lambda: add_task(task))
    assert len(commits) == 1
    assert effects.exists(name + "-kept")
    assert not effects.exists(name + "-undone")
    assert tk.get_action("package_show")({}, {"id": dataset["id"]})["title"] == "after"


def test_action_without_tasks_is_not_held(effects: Effects, unique: Any) -> None:
    name = unique("name")

    def do() -> None:
        effects.write(name)
        model.Session.commit()
        assert not isinstance(model.Session(), HeldSession)
        assert effects.exists(name)

    run(do)


def test_atomic_false_commits_before_the_tasks(effects: Effects, unique: Any) -> None:
    name = unique("name")

    def fail(*_: Any) -> None:
        assert effects.exists(name + "-action")
        effects.write(name + "-task")
        raise tk.ObjectNotFound

    @with_task_queue(atomic=False)
    def apart(context: Any, data_dict: Any) -> None:
        add_task(lambda *_: effects.write(name + "-undone-with-the-failing-one"))
        add_task(fail)
        effects.write(name + "-action")
        model.Session.commit()

    with pytest.raises(tk.ObjectNotFound):
        apart({}, {})
    assert effects.exists(name + "-action")
    assert not effects.exists(name + "-task")


def test_atomic_false_commits_what_the_tasks_did(effects: Effects, unique: Any) -> None:
    name = unique("name")

    @with_task_queue(atomic=False)
    def apart(context: Any, data_dict: Any) -> None:
        add_task(lambda *_: effects.write(name))

    apart({}, {})
    assert effects.exists(name)
    model.Session.remove()
    apart({"defer_commit": True}, {})
    model.Session.rollback()


def test_eager_undoes_what_was_committed_before_the_first_task(
    effects: Effects, unique: Any
) -> None:
    name = unique("name")

    @with_task_queue(eager=True)
    def eager(context: Any, data_dict: Any) -> None:
        effects.write(name)
        model.Session.commit()
        raise tk.ObjectNotFound

    with pytest.raises(tk.ObjectNotFound):
        eager({}, {})
    assert not effects.exists(name)


def test_eager_and_not_atomic_is_refused() -> None:
    with pytest.raises(TypeError, match="eager"):
        with_task_queue(atomic=False, eager=True)(action)


def test_outside_of_an_action() -> None:
    with pytest.raises(OutOfQueueError, match=r"package_create.*with_task_queue"):
        add_task(lambda *_: None)


def test_what_is_no_callable_is_refused() -> None:
    with pytest.raises(TypeError, match="transfer"):
        run(lambda: add_task("transfer"))  # pyright: ignore[reportArgumentType]


def test_callback_that_is_no_callable_is_refused() -> None:
    """It is called too early, as in ``on_commit(send_mail())``: the error is where it is given."""
    with pytest.raises(TypeError, match=r"without arguments; None is no callable"):
        on_commit(None)  # pyright: ignore[reportArgumentType]


def test_queue_does_not_go_into_other_threads() -> None:
    """Not even with a copied context: that thread has a session of its own."""
    raised = []

    def do() -> None:
        context = contextvars.copy_context()

        def in_thread() -> None:
            with pytest.raises(OutOfQueueError) as error:
                context.run(add_task, lambda *_: None)
            raised.append(error.value)

        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()

    run(do)
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
)
def test_chained_action(decorate: Any, effects: Effects, unique: Any) -> None:
    name = unique("name")

    @decorate
    def chained(next_action: Any, context: Any, data_dict: Any) -> str:
        add_task(lambda *_: effects.write(name))
        return next_action(context, data_dict)

    assert chained.chained_action
    result = chained(lambda context, data_dict: "next", {"defer_commit": True}, {})
    assert result == "next"
    assert not effects.exists(name)
    model.Session.rollback()
    assert chained(lambda context, data_dict: "next", {}, {}) == "next"
    assert effects.exists(name)


def test_memo_is_of_one_call_only() -> None:
    def do() -> TaskQueue:
        queue = current_queue()
        assert queue.action == "action"
        assert not queue.memo
        queue.memo["key"] = 1
        return queue

    assert run(do) is not run(do)
