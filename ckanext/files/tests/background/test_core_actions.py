"""Jobs that plugins ask for while a core action runs: no job without its commit, and none is lost.

Each of the ten actions, each hook of CKAN's that it calls, each way to ask, on its own, within a
custom action, and within a savepoint that is open around it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.capabilities import commit_reaches_root
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support import crash, sample
from ckanext.files.tests.support.core_actions import TEN, Call, each_action, prepare
from ckanext.files.tests.support.effects import Effects, count_commits, look, watch
from ckanext.files.tests.support.hook_plugins import Listener
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import in_action
from ckanext.files.tests.support.solr import look_now, title_in_solr
from ckanext.files.transaction import is_commit_requested
from ckanext.files.transaction.journal import is_committing

loaded = load_plugins(
    "files",
    "files_background",
    "files_test_probe",
    "files_test_package_hooks",
    "files_test_resource_hooks",
    "files_test_group_hooks",
    "files_test_organization_hooks",
)

JOBS = f"(SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE args->>'name' = :mark)"


def at_once(mark: str) -> None:
    sample.write.delay(mark)


def in_a_task(mark: str) -> None:
    add_task(lambda *_: sample.write.delay(mark))


def in_both(mark: str) -> None:
    at_once(mark)
    in_a_task(mark)


Ask = Callable[[str], None]


def jobs_of(call: Call) -> int:
    return look(f"SELECT {JOBS}", mark=call.mark)


def refuse(*_: Any) -> None:
    raise tk.ValidationError({"title": ["no"]})


@pytest.mark.parametrize(
    ("ask", "caller_commits"), [(at_once, False), (in_a_task, False), (at_once, True)]
)
@each_action
def test_one_commit(
    action: str,
    ask: Ask,
    caller_commits: bool,
    hooks: Any,
    effects: Effects,
    unique: Any,
    tasks: TasksManager,
) -> None:
    """The change and the job are seen together, and the job does its work.

    With ``defer_commit`` they wait for the caller's commit. ``queue/test_core.py`` has a negative
    control of this.
    """
    call = prepare(action, unique)
    hooks[f"before:{action}"] = lambda *_: ask(call.mark)
    hooks[f"after:{action}"] = lambda *_: time.sleep(0.02)
    with watch(f"SELECT {call.sql}, {JOBS}", mark=call.mark) as seen:
        with count_commits() as commits:
            call(defer_commit=caller_commits)
            if caller_commits:
                assert not commits
                assert jobs_of(call) == 0
                model.Session.commit()
        assert len(commits) == 1
    assert seen == {(False, 0), (True, 1)}
    tasks.run_pending_jobs()
    assert effects.exists(call.mark)


@pytest.mark.parametrize("fails", ["action", "task"])
@each_action
def test_failure(action: str, fails: str, hooks: Any, unique: Any) -> None:
    """Of the action after its last change, or of its last task."""
    call = prepare(action, unique)

    def before(*_: Any) -> None:
        in_both(call.mark)
        if fails == "task":
            add_task(refuse)
        else:
            hooks[f"after:{action}"] = refuse

    hooks[f"before:{action}"] = before
    with (
        watch(f"SELECT {call.sql}, {JOBS}", mark=call.mark) as seen,
        pytest.raises(tk.ValidationError),
    ):
        call()
    model.Session.commit()
    assert seen == {(False, 0)}
    assert (call.is_committed, jobs_of(call)) == (False, 0)


@pytest.mark.crash
@each_action
@pytest.mark.parametrize("die", [crash.kill_after_the_last_task, crash.kill_at_the_commit])
def test_killed_before_the_commit(
    die: Callable[[], None], action: str, hooks: Any, unique: Any
) -> None:
    call = run_and_die(action, die, hooks, unique)
    assert (call.is_committed, jobs_of(call)) == (False, 0)
    look_now()  # or later tests would find the search index ahead


@pytest.mark.crash
@each_action
def test_killed_right_after_the_commit(
    action: str, hooks: Any, effects: Effects, unique: Any, tasks: TasksManager
) -> None:
    """The jobs are there, and run."""
    call = run_and_die(action, lambda: on_commit(crash.kill_now), hooks, unique)
    assert (call.is_committed, jobs_of(call)) == (True, 2)
    tasks.run_pending_jobs(most=1)
    assert effects.exists(call.mark)


def run_and_die(action: str, die: Callable[[], None], hooks: Any, unique: Any) -> Call:
    """Run the action, and have it ask for two jobs, in a process that is killed."""
    call = prepare(action, unique)

    def before(*_: Any) -> None:
        hooks.clear()
        in_both(call.mark)
        die()

    hooks[f"before:{action}"] = before
    assert crash.was_killed(crash.fork(call))
    hooks.clear()
    return call


class TaskError(Exception):
    """Raised by a task that fails."""


called: set[str] = set()


def ask_for_failing_task(mark: str) -> None:
    def fail(*_: Any) -> None:
        Effects().write(mark)
        raise TaskError

    add_task(fail)


WAYS: dict[str, tuple[Ask, Callable[[Call, int], bool]]] = {
    "add_task": (
        lambda mark: add_task(lambda *_: Effects().write(mark)),
        lambda call, _: Effects().exists(call.mark),
    ),
    "on_commit": (
        lambda mark: on_commit(lambda: called.add(mark)),
        lambda call, _: call.mark in called,
    ),
    "delay": (at_once, lambda call, times: jobs_of(call) == times),
    "failing_task": (ask_for_failing_task, lambda call, _: Effects().exists(call.mark)),
}
"""How a hook asks for something, and whether that came so often."""


def alone(call: Call) -> None:
    call()


def in_custom_action(call: Call) -> None:
    in_action(call)


def in_savepoint(call: Call) -> None:
    """A savepoint that is no context manager: within one, CKAN cannot read after its commit."""
    model.Session.begin_nested()
    call()
    if not commit_reaches_root(model.Session()):
        model.Session.commit()  # SQLAlchemy 1.4 leaves the commit to the caller
        model.Session.commit()


PLACES = [alone, in_custom_action, in_savepoint]
WITH_HOOKS = [action for action in TEN if not action.startswith("user")]


@pytest.fixture(autouse=True)
def nothing_listens() -> Iterator[None]:
    yield
    Listener.on_hook = None


@cache
def hooks_of(action: str) -> list[str]:
    """Return the hooks of CKAN's that an action calls."""
    call, hooks = prepare(action, lambda what: f"{what}-{uuid.uuid4()}"), set()
    Listener.on_hook = hooks.add
    call()
    Listener.on_hook = None
    assert len(hooks) >= 3
    return sorted(hooks)


@pytest.mark.crash
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", WITH_HOOKS)
def test_hook(action: str, way: str, effects: Effects, unique: Any, full_size: bool) -> None:
    """In each of its hooks; in each place at full size, else each hook and way in another one."""
    for number, hook in enumerate(hooks_of(action), list(WAYS).index(way)):
        for place in PLACES if full_size else [PLACES[number % 3]]:
            ask_in_hook(hook, way, place, prepare(action, unique))


def ask_in_hook(hook: str, way: str, place: Callable[[Call], None], call: Call) -> None:
    ask, came = WAYS[way]
    late: list[bool] = []  # whether the action had committed its change, or was just doing so

    def on_hook(name: str) -> None:
        if name == hook:
            if way != "delay":  # that asks each time: a hook may be called after the commit, too
                Listener.on_hook = None
            session = model.Session()
            commits = is_committing(session) and not session.get_nested_transaction()
            late.append(call.is_committed or commits)
            ask(call.mark)

    Listener.on_hook = on_hook
    failed = way == "failing_task"
    with pytest.raises(TaskError) if failed else nullcontext():
        place(call)
    Listener.on_hook = None
    while model.Session().in_transaction():
        model.Session.rollback()
    assert came(call, len(late)) is not failed
    assert not is_commit_requested(model.Session())
    assert call.is_committed is (late == [True] or not failed)
    if call.package_id:
        title = look("SELECT title FROM package WHERE id = :id", id=call.package_id)
        assert title_in_solr(call.package_id) == title
