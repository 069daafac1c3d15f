"""The ten core actions: what an action and its tasks change becomes true at once."""

from __future__ import annotations

import time
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic.action import create, update
from sqlalchemy.exc import IntegrityError

from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.core_actions import TEN, Call, each_action, prepare
from ckanext.files.tests.support.effects import Rows, count_commits, look, watch
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import in_action
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_test_probe")


def watch_both(call: Call) -> Any:
    """Watch whether the change is visible, and whether the row of its task is."""
    rows = "EXISTS (SELECT FROM files_test_effect WHERE name LIKE '%-' || :mark)"
    return watch(f"SELECT {call.sql}, {rows}", mark=call.mark)


@each_action
def test_all_or_nothing(action: str, hooks: Any, rows: Rows, unique: Any) -> None:
    """A task fails; the COMMIT fails; then the change and the row of a task appear at once."""
    call = prepare(action, unique)
    error = tk.ValidationError({"title": ["no"]})

    def queue(*tasks: Any) -> None:
        hooks[f"before:{action}"] = lambda *_: [add_task(task) for task in tasks]

    def refuse(*_: Any) -> None:
        raise error

    def write_slowly(*_: Any) -> None:
        time.sleep(0.02)  # for the watcher
        rows.write(call.mark)
        time.sleep(0.02)

    queue(lambda *_: rows.write(call.mark), refuse)
    with pytest.raises(tk.ValidationError) as raised:
        call()
    assert raised.value.error_dict == error.error_dict
    if not action.startswith("resource"):  # those pass on what package_update has raised
        assert raised.value is error
    assert not call.is_committed
    assert not rows.committed

    queue(lambda *_: rows.write(call.mark, call.mark))
    with pytest.raises(IntegrityError, match="files_test_effect"):
        call()
    assert not call.is_committed

    queue(write_slowly)
    with watch_both(call) as seen, count_commits() as commits:
        assert call()
    assert seen == {(False, False), (True, True)}
    assert len(commits) == 1


@each_action
def test_watcher_sees_the_two_apart_without_the_hold(action: str, rows: Rows, unique: Any) -> None:
    """Negative control of the test above."""
    call = prepare(action, unique)
    apart = (True, False)

    def write_late(*_: Any) -> None:
        wait_for(lambda: apart in seen)
        rows.write(call.mark)

    with watch_both(call) as seen:
        in_action(lambda: (add_task(write_late), call()), "probe_apart")
    assert seen == {(False, False), apart, (True, True)}


@each_action
def test_help_is_that_of_the_core_action(action: str) -> None:
    core: Any = getattr(create if action.endswith("create") else update, action)
    assert tk.get_action("help_show")({}, {"name": action}) == core.__doc__
    assert not getattr(tk.get_action(action), "side_effect_free", False)  # no GET request


# CKAN's resource_create and resource_update fail with return_id_only
@pytest.mark.parametrize(
    ("action", "only_id"), [*((name, False) for name in TEN), ("package_create", True)]
)
def test_caller_keeps_the_commit(
    action: str, only_id: bool, hooks: Any, rows: Rows, unique: Any
) -> None:
    """The change, task, callback and search document wait for the caller, who rolls back first."""
    call, called = prepare(action, unique), []
    hooks[f"before:{action}"] = lambda *_: (
        add_task(lambda *_: rows.write("task")),
        on_commit(lambda: called.append(1)),
    )
    for end in ("rollback", "commit"):
        with count_commits() as commits:
            call(defer_commit=True, return_id_only=only_id)
        assert not commits
        assert not call.is_committed
        getattr(model.Session, end)()
        committed = end == "commit"
        assert call.is_committed is committed
        assert rows.committed == ({"task"} if committed else set())
        assert called == [1] * committed
        if action.startswith("package_"):
            saved = look("SELECT id FROM package WHERE title = :mark", mark=call.mark)
            assert (title_in_solr(str(call.package_id or saved)) == call.mark) is committed


@pytest.mark.parametrize("action", ["package_create", "package_update", "package_patch"])
def test_caller_keeps_the_commit_without_a_task(action: str, unique: Any) -> None:
    """CKAN 2.12.0 by itself loses the change, or does not finish a savepoint, or does not index."""
    call = prepare(action.replace("patch", "update"), unique)
    for end in ("rollback", "commit"):
        context: Any = {"user": call.user, "defer_commit": True}
        with count_commits() as commits:
            tk.get_action(action)(context, call.data)
        assert not commits
        assert context["defer_commit"] is True
        getattr(model.Session, end)()
        assert call.is_committed is (end == "commit")
    saved = look("SELECT id FROM package WHERE title = :mark", mark=call.mark)
    assert title_in_solr(saved) == call.mark
