"""The ten core actions: what an action and its tasks change becomes true at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import ValidationError
from ckan.logic.action import create, update
from sqlalchemy.exc import IntegrityError

from ckanext.files.shared import add_task
from ckanext.files.tests.support.core_actions import TEN, each_action, prepare
from ckanext.files.tests.support.effects import Effects, count_commits, look, watch
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_test_probe")


def slowly(task: Callable[[], Any]) -> Any:
    """A task that leaves a watcher time to look before and after it."""

    def run(result: Any, idx: int, prev: Any) -> None:
        time.sleep(0.02)
        task()
        time.sleep(0.02)

    return run


@each_action
def test_change_and_effect_become_visible_together(
    action: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: add_task(slowly(lambda: effects.write(call.mark)))
    query = f"SELECT {call.is_visible}, EXISTS (SELECT FROM files_test_effect WHERE name = :mark)"
    with watch(query, mark=call.mark) as seen:
        call()
    assert seen == {(False, False), (True, True)}


@each_action
def test_watcher_sees_the_two_apart_without_the_hold(
    action: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    """Negative control of the test above."""
    call = prepare(action, unique)
    apart = (True, False)

    def write_late(*_: Any) -> None:
        wait_for(lambda: apart in seen)
        effects.write(call.mark)

    def do(context: Any) -> Any:
        add_task(write_late)
        return call()

    query = f"SELECT {call.is_visible}, EXISTS (SELECT FROM files_test_effect WHERE name = :mark)"
    with watch(query, mark=call.mark) as seen:
        tk.get_action("probe_apart")({}, {"do": do})
    assert seen == {(False, False), apart, (True, True)}


@each_action
def test_one_commit(action: str, hooks: Any, effects: Effects, unique: Any) -> None:
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: add_task(lambda *_: effects.write(call.mark))
    with count_commits() as commits:
        call()
    assert len(commits) == 1
    assert effects.exists(call.mark)


@each_action
def test_failing_task_undoes_the_action(
    action: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    call = prepare(action, unique)
    error = ValidationError({"title": ["no"]})

    def fail(*_: Any) -> None:
        raise error

    hooks[f"before:{action}"] = lambda *_: (
        add_task(lambda *_: effects.write(call.mark)),
        add_task(fail),
    )
    with pytest.raises(ValidationError) as raised:
        call()
    assert raised.value.error_dict == error.error_dict
    if not action.startswith("resource"):  # those pass on what package_update has raised
        assert raised.value is error
    assert not look(f"SELECT {call.is_visible}", mark=call.mark)
    assert not effects.exists(call.mark)

    hooks.clear()
    assert call()
    assert look(f"SELECT {call.is_visible}", mark=call.mark)


@each_action
def test_failing_commit_undoes_all(action: str, hooks: Any, effects: Effects, unique: Any) -> None:
    call = prepare(action, unique)

    def write_twice(*_: Any) -> None:
        effects.write(call.mark)
        effects.write(call.mark)

    hooks[f"before:{action}"] = lambda *_: add_task(write_twice)
    with pytest.raises(IntegrityError, match="files_test_effect"):
        call()
    assert not look(f"SELECT {call.is_visible}", mark=call.mark)
    hooks.clear()
    assert call()


@each_action
def test_help_is_that_of_the_core_action(action: str) -> None:
    core: Any = getattr(create if action.endswith("create") else update, action)
    assert tk.get_action("help_show")({}, {"name": action}) == core.__doc__


each_end = pytest.mark.parametrize("end", ["commit", "rollback"])


@each_end
# CKAN's resource_create and resource_update fail with return_id_only
@pytest.mark.parametrize(
    ("action", "only_id"),
    [(name, False) for name in TEN] + [(name, True) for name in TEN if "resource" not in name],
)
def test_caller_keeps_the_commit(
    action: str, end: str, only_id: bool, hooks: Any, effects: Effects, unique: Any
) -> None:
    """The change, its task and its search document all wait for the caller's commit."""
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: add_task(lambda *_: effects.write(call.mark))
    with count_commits() as commits:
        call(defer_commit=True, return_id_only=only_id)
    assert not commits
    assert not look(f"SELECT {call.is_visible}", mark=call.mark)
    getattr(model.Session, end)()
    model.Session.commit()
    committed = end == "commit"
    assert look(f"SELECT {call.is_visible}", mark=call.mark) is committed
    assert effects.exists(call.mark) is committed
    if action.startswith("package_"):
        created = look("SELECT id FROM package WHERE title = :mark", mark=call.mark)
        assert (title_in_solr(str(call.package_id or created)) == call.mark) is committed


@each_end
@pytest.mark.parametrize("action", ["package_create", "package_update", "package_patch"])
def test_caller_keeps_the_commit_without_a_task(action: str, end: str, unique: Any) -> None:
    """CKAN 2.12.0 by itself loses the change, or does not finish a savepoint, or does not index."""
    call = prepare(action.replace("patch", "update"), unique)
    context: Any = {"user": call.user, "defer_commit": True}
    with count_commits() as commits:
        tk.get_action(action)(context, call.data)
    assert not commits
    assert context["defer_commit"] is True
    getattr(model.Session, end)()
    model.Session.commit()
    assert look(f"SELECT {call.is_visible}", mark=call.mark) is (end == "commit")
    if end == "commit":
        saved = look("SELECT id FROM package WHERE title = :mark", mark=call.mark)
        assert title_in_solr(saved) == call.mark
