"""Callbacks that wait for a commit, and blocks around them."""

from __future__ import annotations

import logging
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from ckanext.files.shared import OutOfQueueError, add_task, on_commit
from ckanext.files.tests.support.effects import Effects, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.transaction import Block

loaded = load_plugins("files", "files_test_probe")


def test_in_an_action(hooks: Any, effects: Effects, unique: Any) -> None:
    """After the one commit, in order, once, outside of the action."""
    name, called = unique("dataset"), []

    def callback(number: int) -> None:
        assert effects.exists(name)
        with pytest.raises(OutOfQueueError):
            add_task(lambda *_: None)
        called.append(number)

    def queue(*_: Any) -> None:
        on_commit(lambda: callback(1))
        effects.write(name)
        on_commit(lambda: callback(2))

    hooks["before:package_create"] = queue
    user = factories.Sysadmin()["name"]
    with count_commits() as commits:
        tk.get_action("package_create")({"user": user}, {"name": name})
    assert called == [1, 2]
    assert len(commits) == 1
    model.Session.commit()
    assert called == [1, 2]


def test_in_a_failing_action(hooks: Any, unique: Any) -> None:
    called: list[int] = []
    hooks["before:package_create"] = lambda *_: on_commit(lambda: called.append(1))
    user = factories.Sysadmin()["name"]
    with pytest.raises(tk.ValidationError):
        tk.get_action("package_create")({"user": user}, {"name": "Not A Name"})
    model.Session.commit()
    assert not called


def test_inner_action_waits_for_the_outermost(effects: Effects, unique: Any) -> None:
    name, called = unique("name"), []

    def callback() -> None:
        assert effects.exists(name + "-outer")
        called.append(1)

    def outer(context: Any) -> None:
        tk.get_action("probe")({}, {"do": lambda _: (effects.write(name), on_commit(callback))})
        effects.write(name + "-outer")
        model.Session.commit()
        assert not called

    tk.get_action("probe")({}, {"do": outer})
    assert called == [1]


def test_outside_of_an_action(effects: Effects, unique: Any) -> None:
    name, called = unique("name"), []
    on_commit(lambda: called.append(effects.exists(name)))
    effects.write(name)
    assert not called
    model.Session.commit()
    assert called == [True]
    model.Session.commit()
    assert called == [True]


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_rollback_drops_it(undo: str, effects: Effects, unique: Any) -> None:
    called: list[int] = []
    effects.write(unique("name"))
    on_commit(lambda: called.append(1))
    getattr(model.Session, undo)()
    model.Session.commit()
    assert not called


def test_savepoints(effects: Effects, unique: Any) -> None:
    """A callback shares the fate of the rows written beside it."""
    called: list[str] = []
    on_commit(lambda: called.append("first"))
    with model.Session.begin_nested():
        effects.write(unique("name"))
        with model.Session.begin_nested():
            on_commit(lambda: called.append("inner"))
        on_commit(lambda: called.append("outer"))
    savepoint = model.Session.begin_nested()
    on_commit(lambda: called.append("undone"))
    with pytest.raises(DBAPIError):
        model.Session.execute(sa.text("SELECT 1 / 0"))
    savepoint.rollback()
    on_commit(lambda: called.append("last"))
    model.Session.commit()
    assert called == ["first", "inner", "outer", "last"]


@pytest.mark.parametrize("in_action", [True, False])
def test_failing_callback_is_logged_and_stops_no_other(
    in_action: bool, effects: Effects, unique: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name, called = unique("name"), []

    def fail() -> None:
        effects.write(name + "-half-done")
        raise ZeroDivisionError

    def do(context: Any = None) -> None:
        on_commit(fail)
        on_commit(lambda: called.append(1))
        effects.write(name)
        model.Session.commit()

    with caplog.at_level(logging.ERROR, "ckanext.files.transaction.journal"):
        tk.get_action("probe")({}, {"do": do}) if in_action else do()
    assert called == [1]
    assert "ZeroDivisionError" in caplog.text
    model.Session.commit()
    assert effects.exists(name)
    assert not effects.exists(name + "-half-done")


@pytest.mark.parametrize("in_action", [True, False])
def test_callback_may_use_the_session_and_actions(
    in_action: bool, effects: Effects, unique: Any
) -> None:
    name = unique("name")
    dataset = factories.Dataset()

    def callback() -> None:
        patch = {"id": dataset["id"], "title": name}
        tk.get_action("package_patch")({"ignore_auth": True}, patch)
        on_commit(lambda: effects.write(name + "-next"))
        effects.write(name + "-callback")
        model.Session.commit()

    def do(context: Any = None) -> None:
        on_commit(callback)
        effects.write(name)
        model.Session.commit()

    tk.get_action("probe")({}, {"do": do}) if in_action else do()
    model.Session.commit()
    assert effects.exists(name + "-callback")
    assert effects.exists(name + "-next")
    assert tk.get_action("package_show")({}, {"id": dataset["id"]})["title"] == name


def test_action_that_does_not_commit(effects: Effects, unique: Any) -> None:
    """It has asked for a callback after the commit, so it gets the commit."""
    name, called = unique("name"), []
    tk.get_action("probe")(
        {}, {"do": lambda _: (effects.write(name), on_commit(lambda: called.append(1)))}
    )
    assert called == [1]
    assert effects.exists(name)
    model.Session.commit()
    assert called == [1]


def test_failure_of_a_listener_after_the_commit(effects: Effects, unique: Any) -> None:
    """The commit has happened: the callbacks run, and the caller gets the error."""
    name, called = unique("name"), []

    def fail(session: Any) -> None:
        if not session.get_nested_transaction():
            raise ZeroDivisionError

    event.listen(model.Session, "after_commit", fail)

    def do() -> None:
        with Block(eager=True):
            on_commit(lambda: called.append(1))
            effects.write(name)
            model.Session.commit()

    try:
        with pytest.raises(ZeroDivisionError):
            do()
    finally:
        event.remove(model.Session, "after_commit", fail)
    assert effects.exists(name)
    assert called == [1]
