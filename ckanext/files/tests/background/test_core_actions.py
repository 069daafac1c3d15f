"""Each of the ten core actions: no job without its commit, no commit without the job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.core_actions import Call, each_action, prepare
from ckanext.files.tests.support.crash import (
    fork,
    kill_after_the_last_task,
    kill_between_index_and_commit,
    kill_now,
    was_killed,
)
from ckanext.files.tests.support.effects import Effects, count_commits, look, watch
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_background", "files_test_probe")

JOBS = f"(SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE args->>'name' = :mark)"


def defer_at_once(mark: str) -> None:
    sample.write.delay(mark)


def defer_in_a_task(mark: str) -> None:
    add_task(lambda *_: sample.write.delay(mark))


each_place = pytest.mark.parametrize("ask", [defer_at_once, defer_in_a_task])


def jobs_of(call: Call) -> int:
    return look(f"SELECT {JOBS}", mark=call.mark)


def refuse(*_: Any) -> None:
    raise tk.ValidationError({"title": ["no"]})


@each_place
@each_action
def test_one_commit(
    action: str,
    ask: Callable[[str], None],
    hooks: Any,
    effects: Effects,
    unique: Any,
    tasks: TasksManager,
) -> None:
    """The change and the job are seen together, and the job does its work."""
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: ask(call.mark)
    hooks[f"after:{action}"] = lambda *_: time.sleep(0.02)
    with watch(f"SELECT {call.is_visible}, {JOBS}", mark=call.mark) as seen:
        with count_commits() as commits:
            call()
        assert len(commits) == 1
    assert seen == {(False, 0), (True, 1)}
    tasks.run_pending_jobs()
    assert effects.exists(call.mark)


@each_action
def test_watcher_sees_the_two_apart_without_the_hold(action: str, hooks: Any, unique: Any) -> None:
    """Negative control of the test above."""
    call = prepare(action, unique)

    def late(*_: Any) -> None:
        wait_for(lambda: (True, 0) in seen)
        sample.write.delay(call.mark)
        model.Session.commit()

    def do(context: Any) -> Any:
        add_task(late)
        return call()

    with watch(f"SELECT {call.is_visible}, {JOBS}", mark=call.mark) as seen:
        tk.get_action("probe_apart")({}, {"do": do})
    assert seen == {(False, 0), (True, 0), (True, 1)}


@each_place
@each_action
def test_failing_task(action: str, ask: Callable[[str], None], hooks: Any, unique: Any) -> None:
    call = prepare(action, unique)

    def before(*_: Any) -> None:
        ask(call.mark)
        add_task(refuse)

    hooks[f"before:{action}"] = before
    with (
        watch(f"SELECT {call.is_visible}, {JOBS}", mark=call.mark) as seen,
        pytest.raises(tk.ValidationError),
    ):
        call()
    assert seen == {(False, 0)}


@each_place
@each_action
def test_failing_action(action: str, ask: Callable[[str], None], hooks: Any, unique: Any) -> None:
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: ask(call.mark)
    hooks[f"after:{action}"] = refuse
    with (
        watch(f"SELECT {call.is_visible}, {JOBS}", mark=call.mark) as seen,
        pytest.raises(tk.ValidationError),
    ):
        call()
    model.Session.commit()
    assert seen == {(False, 0)}


@each_action
def test_caller_commits(action: str, hooks: Any, unique: Any) -> None:
    """With ``defer_commit`` the change and the job wait for the caller's commit."""
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: defer_at_once(call.mark)
    with count_commits() as commits:
        call(defer_commit=True)
        assert commits == []
        assert jobs_of(call) == 0
        model.Session.commit()
    assert len(commits) == 1
    assert jobs_of(call) == 1
    assert look(f"SELECT {call.is_visible}", mark=call.mark)


@each_place
def test_inner_action_that_fails(ask: Callable[[str], None], hooks: Any, unique: Any) -> None:
    """Its job goes with it, that of the outer one stays."""
    inner, outer = prepare("group_create", unique), prepare("package_create", unique)

    def around(*_: Any) -> None:
        ask(outer.mark)
        with pytest.raises(tk.ValidationError):
            inner()

    hooks["before:package_create"] = around
    hooks["before:group_create"] = lambda *_: ask(inner.mark)
    hooks["after:group_create"] = refuse
    with count_commits() as commits:
        outer()
    assert len(commits) == 1
    assert (jobs_of(outer), jobs_of(inner)) == (1, 0)


@pytest.mark.crash
@each_place
@each_action
@pytest.mark.parametrize("die", [kill_after_the_last_task, kill_between_index_and_commit])
def test_killed_before_the_commit(
    die: Callable[[], None],
    action: str,
    ask: Callable[[str], None],
    hooks: Any,
    unique: Any,
) -> None:
    call = run_and_die(action, ask, die, hooks, unique)
    assert not look(f"SELECT {call.is_visible}", mark=call.mark)
    assert jobs_of(call) == 0


@pytest.mark.crash
@each_place
@each_action
def test_killed_right_after_the_commit(
    action: str,
    ask: Callable[[str], None],
    hooks: Any,
    effects: Effects,
    unique: Any,
    tasks: TasksManager,
) -> None:
    """The job is there, and runs."""
    call = run_and_die(action, ask, lambda: on_commit(kill_now), hooks, unique)
    assert look(f"SELECT {call.is_visible}", mark=call.mark)
    assert jobs_of(call) == 1
    tasks.run_pending_jobs()
    assert effects.exists(call.mark)


def run_and_die(
    action: str, ask: Callable[[str], None], die: Callable[[], None], hooks: Any, unique: Any
) -> Call:
    """Run the action, and have it ask for a job, in a process that is killed."""
    call = prepare(action, unique)

    def before(*_: Any) -> None:
        hooks.clear()
        ask(call.mark)
        die()

    hooks[f"before:{action}"] = before
    assert was_killed(fork(call))
    hooks.clear()
    return call
