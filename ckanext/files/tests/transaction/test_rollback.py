"""Callbacks that undo what a rollback of the database does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from sqlalchemy.exc import DBAPIError

from ckanext.files.tests.support.effects import Effects, engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy, session_through_proxy
from ckanext.files.transaction import Block, on_rollback

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def called() -> list[Any]:
    return []


def _rollback() -> None:
    model.Session.rollback()


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_last_first_and_once(undo: str, called: list[Any]) -> None:
    for number in (1, 2, 3):
        on_rollback(lambda number=number: called.append(number))
    getattr(model.Session, undo)()
    assert called == [3, 2, 1]
    _rollback()
    assert called == [3, 2, 1]


def test_not_after_a_commit(called: list[Any]) -> None:
    on_rollback(lambda: called.append(1))
    model.Session.commit()
    _rollback()
    assert not called


def test_the_database_has_forgotten_by_then(
    effects: Effects, unique: Callable[[str], str], called: list[Any]
) -> None:
    """The row can be written by another connection: nothing of the rollback is still to come."""
    name = unique("name")

    def write() -> None:
        with engine().begin() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            insert = sa.text("INSERT INTO files_test_effect VALUES (:name)")
            connection.execute(insert, {"name": name})
        called.append(effects.exists(name))

    effects.write(name)
    on_rollback(write)
    _rollback()
    assert called == [True]


def test_savepoint(effects: Effects, unique: Callable[[str], str], called: list[Any]) -> None:
    """It shares the fate of the rows that were written beside it."""
    savepoint = model.Session.begin_nested()
    effects.write(unique("undone"))
    on_rollback(lambda: called.append("undone"))
    with pytest.raises(DBAPIError):
        model.Session.execute(sa.text("SELECT 1 / 0"))
    savepoint.rollback()
    assert called == ["undone"]
    with model.Session.begin_nested():
        effects.write(unique("kept"))
        on_rollback(lambda: called.append("kept"))
    model.Session.commit()
    assert called == ["undone"]


def test_released_savepoint_shares_the_fate_of_its_parent(called: list[Any]) -> None:
    on_rollback(lambda: called.append("outer"))
    with model.Session.begin_nested():
        on_rollback(lambda: called.append("inner"))
    assert not called
    _rollback()
    assert called == ["inner", "outer"]


@pytest.mark.parametrize("action", ["probe", "probe_eager"])
def test_failing_action(action: str, called: list[Any]) -> None:
    """A commit within an action that fails has not been one."""

    def fail(_: Any) -> None:
        on_rollback(lambda: called.append(1))
        model.Session.commit()
        on_rollback(lambda: called.append(2))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Block(eager=True):
        tk.get_action(action)({}, {"do": fail})
    assert called == [2, 1]


def test_failing_inner_action(called: list[Any]) -> None:
    """What the inner action has done is undone at once, and the rest is kept."""

    def inner(_: Any) -> None:
        on_rollback(lambda: called.append("inner"))
        model.Session.commit()
        raise ZeroDivisionError

    def outer(_: Any) -> None:
        on_rollback(lambda: called.append("outer"))
        with pytest.raises(ZeroDivisionError):
            tk.get_action("probe_eager")({}, {"do": inner})
        assert called == ["inner"]
        model.Session.commit()

    tk.get_action("probe_eager")({}, {"do": outer})
    assert called == ["inner"]


def test_rollback_in_an_action_returns_to_its_commit(called: list[Any]) -> None:
    def do(_: Any) -> None:
        on_rollback(lambda: called.append("kept"))
        model.Session.commit()
        on_rollback(lambda: called.append("undone"))
        _rollback()
        model.Session.commit()

    tk.get_action("probe_eager")({}, {"do": do})
    assert called == ["undone"]


@pytest.mark.parametrize("held", [True, False])
def test_commit_that_fails(
    held: bool, effects: Effects, unique: Callable[[str], str], called: list[Any]
) -> None:
    name = unique("name")

    def do(_: Any = None) -> None:
        effects.write(name)
        effects.write(name)  # PostgreSQL notices at the COMMIT
        on_rollback(lambda: called.append(1))
        model.Session.commit()

    with pytest.raises(DBAPIError):
        tk.get_action("probe_eager")({}, {"do": do}) if held else do()
    _rollback()
    assert called == [1]


def test_lost_commit(effects: Effects, unique: Callable[[str], str], called: list[Any]) -> None:
    """The commit has happened, and only the callback can find that out."""
    name = unique("name")
    with session_through_proxy() as proxy:
        effects.write(name)
        on_rollback(lambda: called.append(effects.exists(name)))
        proxy.cut = "after"
        with pytest.raises(DBAPIError):
            model.Session.commit()
        _rollback()
    assert called == [True]


@pytest.mark.parametrize("cut", ["before", "hang"])
def test_lost_commit_of_an_action(
    cut: Any, effects: Effects, unique: Callable[[str], str], called: list[Any]
) -> None:
    """The callback runs when it is certain that the commit has not happened."""
    name = unique("name")

    def write() -> None:
        with engine().begin() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            insert = sa.text("INSERT INTO files_test_effect VALUES (:name)")
            connection.execute(insert, {"name": name})
        called.append(effects.exists(name))

    with session_through_proxy() as proxy, pytest.raises(DBAPIError):
        _write_and_commit(proxy, cut, name, effects, write)
    assert called == [True]


def test_commit_of_an_action_that_has_happened(
    effects: Effects, unique: Callable[[str], str], called: list[Any]
) -> None:
    name = unique("name")
    with session_through_proxy() as proxy:
        _write_and_commit(proxy, "after", name, effects, lambda: called.append(1))
    assert effects.exists(name)
    assert not called


def _write_and_commit(
    proxy: Proxy, cut: Any, name: str, effects: Effects, callback: Callable[[], Any]
) -> None:
    def do(_: Any) -> None:
        effects.write(name)
        on_rollback(callback)
        model.Session.commit()
        proxy.cut = cut

    tk.get_action("probe_eager")({}, {"do": do})


def test_failing_callback_is_logged_and_stops_no_other(
    called: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    on_rollback(lambda: called.append(1))
    on_rollback(lambda: called.append(1 // 0))
    on_rollback(lambda: called.append(3))
    with caplog.at_level(logging.ERROR, "ckanext.files.transaction.journal"):
        _rollback()
    assert called == [3, 1]
    assert "ZeroDivisionError" in caplog.text
