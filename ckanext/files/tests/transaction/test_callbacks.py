"""Callbacks that wait for a commit or for a rollback."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from ckanext.files.shared import OutOfQueueError, add_task, on_commit
from ckanext.files.tests.support.effects import Rows, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold, nothing
from ckanext.files.tests.support.solr import retitle, titles
from ckanext.files.transaction import Block, on_rollback

loaded = load_plugins("files", "files_test_probe")

each_place = pytest.mark.parametrize("run", [in_action, lambda do: do()], ids=["action", "alone"])


@pytest.mark.parametrize("end", ["commit", "rollback", "close", "remove"])
def test_end_of_a_transaction(
    end: str, rows: Rows, called: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Callbacks run once: of a commit in their order, of a rollback the last one first.

    The database has ended the transaction by then. A failing one is logged and stops no other.
    """
    for number in (1, 2, 3):
        on_commit(lambda number=number: called.append((number, rows.committed)))
        on_rollback(lambda number=number: (rows.lock(), called.append(number)))
        on_commit(fail)
        on_rollback(fail)
    rows.write("row")
    assert not called
    with caplog.at_level(logging.ERROR, "ckanext.files.transaction.journal"):
        getattr(model.Session, end)()
    assert len([record for record in caplog.records if record.exc_info]) == 3
    expected = [(n, {"row"}) for n in (1, 2, 3)] if end == "commit" else [3, 2, 1]
    assert called == expected
    model.Session.commit()
    model.Session.rollback()
    assert called == expected


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_savepoints(end: str, rows: Rows, called: list[Any]) -> None:
    """A callback shares the fate of the rows that were written beside it."""

    def ask(name: str) -> None:
        rows.write(name)
        on_commit(lambda: called.append(f"commit {name}"))
        on_rollback(lambda: called.append(f"rollback {name}"))

    ask("first")
    with model.Session.begin_nested():
        with model.Session.begin_nested():
            ask("inner")
        ask("outer")
    savepoint = model.Session.begin_nested()
    ask("undone")
    with pytest.raises(DBAPIError):
        model.Session.execute(sa.text("SELECT 1 / 0"))
    savepoint.rollback()
    assert called == ["rollback undone"]
    ask("last")
    getattr(model.Session, end)()
    kept = ["first", "inner", "outer", "last"]
    others = kept if end == "commit" else reversed(kept)
    assert called == ["rollback undone", *(f"{end} {name}" for name in others)]
    assert rows.committed == (set(kept) if end == "commit" else set())


def test_in_an_action(rows: Rows, called: list[Any]) -> None:
    """After the one commit of the outermost action, and outside of it."""

    def callback(number: int) -> None:
        assert rows.committed == {"inner", "outer"}
        with pytest.raises(OutOfQueueError):
            add_task(nothing)
        called.append(number)

    def inner() -> None:
        on_commit(lambda: callback(1))
        rows.write("inner")
        on_commit(lambda: callback(2))

    def outer() -> None:
        in_action(inner)
        rows.write("outer")
        model.Session.commit()
        assert not called

    with count_commits() as commits:
        in_action(outer)
    assert len(commits) == 1
    assert called == [1, 2]
    model.Session.commit()
    assert called == [1, 2]


@each_place
def test_failing_callback_leaves_nothing_half_done(run: Any, rows: Rows, called: list[Any]) -> None:
    def leave_half_done() -> None:
        rows.write("half done")
        fail()

    def do() -> None:
        on_commit(leave_half_done)
        on_commit(lambda: called.append(1))
        rows.write("row")
        model.Session.commit()

    run(do)
    assert called == [1]
    model.Session.commit()
    assert rows.committed == {"row"}


@each_place
def test_callback_may_use_the_session_and_actions(
    run: Any, rows: Rows, dataset: dict[str, Any]
) -> None:
    def callback() -> None:
        retitle(dataset["id"], "after")
        on_commit(lambda: rows.write("next"))
        rows.write("callback")
        model.Session.commit()

    def do() -> None:
        on_commit(callback)
        rows.write("row")
        model.Session.commit()

    run(do)
    model.Session.commit()
    assert rows.committed == {"row", "callback", "next"}
    assert titles(dataset["id"]) == ("after", "after")


def test_failure_of_a_listener_after_the_commit(rows: Rows, called: list[Any]) -> None:
    """The commit has happened: the callbacks run, and the caller gets the error."""

    def refuse(session: Any) -> None:
        if not session.get_nested_transaction():
            fail()

    def do() -> None:
        on_commit(lambda: called.append(1))
        rows.write("row")
        model.Session.commit()

    event.listen(model.Session, "after_commit", refuse)
    try:
        with pytest.raises(ProbeError):
            in_hold(do)
    finally:
        event.remove(model.Session, "after_commit", refuse)
    assert rows.committed == {"row"}
    assert called == [1]


@pytest.mark.parametrize("run", [in_action, in_hold])
def test_failing_action_is_rolled_back(run: Any, called: list[Any]) -> None:
    """A commit within it has not been one."""

    def do() -> None:
        on_rollback(lambda: called.append(1))
        model.Session.commit()
        on_rollback(lambda: called.append(2))
        fail()

    with pytest.raises(ProbeError), Block(eager=True):
        run(do)
    assert called == [2, 1]


def test_rollbacks_within_an_action(called: list[Any]) -> None:
    """An inner action is undone at once, and a rollback returns to the commit before it."""

    def inner() -> None:
        on_rollback(lambda: called.append("inner"))
        model.Session.commit()
        fail()

    def outer() -> None:
        on_rollback(lambda: called.append("kept"))
        with pytest.raises(ProbeError):
            in_hold(inner)
        assert called == ["inner"]
        model.Session.commit()
        on_rollback(lambda: called.append("undone"))
        model.Session.rollback()
        model.Session.commit()

    in_hold(outer)
    assert called == ["inner", "undone"]


@pytest.mark.parametrize("run", [in_hold, lambda do: do()], ids=["hold", "alone"])
def test_rollback_of_a_commit_that_fails(run: Any, rows: Rows, called: list[Any]) -> None:
    def do() -> None:
        rows.write("twice", "twice")  # PostgreSQL notices at the COMMIT
        on_rollback(lambda: called.append(1))
        model.Session.commit()

    with pytest.raises(DBAPIError):
        run(do)
    model.Session.rollback()
    assert called == [1]


@pytest.mark.parametrize("callback", [None, "mail"])
def test_what_is_no_callable_is_refused(callback: Any) -> None:
    """As in ``on_commit(send_mail())``, where it is called too early."""
    with pytest.raises(TypeError, match=f"without arguments; {callback!r} is no callable"):
        on_commit(callback)
