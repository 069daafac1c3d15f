"""What asks for a commit gets it within a frame; elsewhere the log says what was lost."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.tests import factories
from sqlalchemy import event

from ckanext.files.shared import add_task, on_commit, with_task_queue
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Effects, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.transaction import is_commit_requested

loaded = load_plugins("files", "files_test_probe")

LOGGER = "ckanext.files.transaction.commit_requests"


@pytest.fixture
def lost(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the log says was lost."""
    with caplog.at_level(logging.ERROR, LOGGER):
        yield lambda: [r.getMessage() for r in caplog.records if r.name == LOGGER]


def ignored() -> None:
    """A callback."""


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("probe", ["probe", "probe_eager", "probe_apart"])
@pytest.mark.parametrize("nested", [True, False])
def test_asked_last_in_a_frame(
    commits: bool, probe: str, nested: bool, effects: Effects, unique: Any, lost: Any
) -> None:
    """The action need not commit, and what it asks for may come after its own commit."""
    name, called = unique("name"), []

    def do(context: Any) -> None:
        if commits:
            effects.write(name + "-first")
            model.Session.commit()
        effects.write(name)
        on_commit(lambda: called.append(1))

    if nested:
        tk.get_action("probe")({}, {"do": lambda _: tk.get_action(probe)({}, {"do": do})})
    else:
        tk.get_action(probe)({}, {"do": do})
    assert called == [1]
    assert effects.exists(name)
    assert not is_commit_requested(model.Session())
    model.Session.remove()
    assert not lost()


@pytest.mark.parametrize("action", ["resource_create", "resource_update"])
def test_hook_after_the_commit_of_core(action: str, hooks: Any, unique: Any) -> None:
    call, called = prepare(action, unique), []
    hooks[f"after_{action}"] = lambda *_: on_commit(lambda: called.append(1))
    call()
    assert called == [1]


@pytest.mark.parametrize("probe", ["probe", "probe_eager", "probe_apart"])
def test_failing_action(probe: str, effects: Effects, unique: Any, lost: Any) -> None:
    """It gets nothing, and its caller knows."""
    name, called = unique("name"), []

    def do(context: Any) -> None:
        effects.write(name)
        on_commit(lambda: called.append(1))
        raise tk.ObjectNotFound

    with pytest.raises(tk.ObjectNotFound):
        tk.get_action(probe)({}, {"do": do})
    model.Session.rollback()
    model.Session.commit()
    assert not called
    assert not effects.exists(name)
    assert not lost()


def test_caller_keeps_the_commit(effects: Effects, unique: Any, lost: Any) -> None:
    name, called = unique("name"), []

    def do(context: Any) -> None:
        effects.write(name)
        on_commit(lambda: called.append(1))

    def outer(context: Any) -> None:
        tk.get_action("probe")({"defer_commit": True}, {"do": do})

    with count_commits() as commits:
        tk.get_action("probe")({}, {"do": outer})
        assert not commits
    assert is_commit_requested(model.Session())
    model.Session.commit()
    assert called == [1]
    tk.get_action("probe")({"defer_commit": True}, {"do": do})
    model.Session.remove()
    assert called == [1]
    assert len(lost()) == 1


@pytest.mark.parametrize("end", ["close", "remove"])
def test_session_ends_without_a_commit(end: str, lost: Any) -> None:
    on_commit(ignored)
    with model.Session.begin_nested():
        on_commit(ignored)
    model.Session.begin_nested()
    on_commit(ignored)
    getattr(model.Session, end)()
    first, second, third = lost()
    assert "ignored" in first
    assert all(f"{__file__}:" in each for each in (first, second, third))
    assert "Commit" in first
    getattr(model.Session, end)()
    assert len(lost()) == 3


def test_line_of_code(lost: Any) -> None:
    line = sys._getframe().f_lineno + 1
    on_commit(ignored)
    model.Session.remove()
    assert f"{__file__}:{line} asked for it" in lost()[0]


@pytest.mark.parametrize("savepoints", [0, 1, 2])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_commit_and_rollback_are_no_loss(end: str, savepoints: int, lost: Any) -> None:
    on_commit(ignored)
    for _ in range(savepoints):
        model.Session.begin_nested()
        on_commit(ignored)
    for _ in range(savepoints + 1):  # SQLAlchemy 1.4 ends one at a time
        getattr(model.Session, end)()
    model.Session.remove()
    assert not lost()


def test_savepoint_that_is_rolled_back(lost: Any) -> None:
    outer = model.Session.begin_nested()
    on_commit(ignored)
    with model.Session.begin_nested():
        on_commit(ignored)
    outer.rollback()
    on_commit(ignored)
    model.Session.remove()
    assert len(lost()) == 1


def test_thread_ends_without_a_commit(lost: Any) -> None:
    thread = threading.Thread(target=lambda: on_commit(ignored))
    thread.start()
    thread.join()
    gc.collect()
    assert len(lost()) == 1


def test_process_ends_without_a_commit() -> None:
    script = """
from ckan.cli.cli import ckan
from ckan.config.middleware import make_app
from ckan.cli import load_config
app = make_app(load_config("test.ini"))
from ckanext.files.shared import on_commit
with app._wsgi_app.test_request_context():
    on_commit(print)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "The callback <built-in function print> is lost: <string>:8 asked for it" in run.stderr


@pytest.mark.parametrize("savepoint", [True, False])
def test_listener_to_a_commit_asks(savepoint: bool, lost: Any) -> None:
    """SQLAlchemy tells of a released savepoint, too: its listener may be the first who asks."""
    called: list[int] = []

    def ask(session: Any) -> None:
        on_commit(lambda: called.append(1))

    if savepoint:
        model.Session.begin_nested()
    event.listen(model.Session, "after_commit", ask, once=True)
    try:
        nested = model.Session().get_nested_transaction()
        (nested or model.Session()).commit()
    finally:
        if event.contains(model.Session, "after_commit", ask):
            event.remove(model.Session, "after_commit", ask)
    model.Session.commit()
    assert called == [1]
    model.Session.remove()
    assert not lost()


def test_tasks_of_a_frame_within_no_transaction(unique: Any, effects: Effects) -> None:
    """An action of an extension that only asks."""
    name = unique("name")

    @with_task_queue
    def asks(context: Any, data_dict: Any) -> None:
        add_task(lambda *_: effects.write(name))

    with count_commits() as commits:
        asks({}, {})
    assert len(commits) == 1
    assert effects.exists(name)


def test_request_that_fails_leaves_no_request_behind(hooks: Any, unique: Any, lost: Any) -> None:
    user = factories.Sysadmin()["name"]
    hooks["before:package_create"] = lambda *_: on_commit(ignored)
    with pytest.raises(tk.ValidationError):
        tk.get_action("package_create")({"user": user}, {"name": "Not A Name"})
    assert not is_commit_requested(model.Session())
    model.Session.remove()
    assert not lost()
