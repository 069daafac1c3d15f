"""What asks for a commit gets it within a frame; elsewhere the log says what was lost."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ckan import model
from sqlalchemy import event

from ckanext.files.shared import on_commit
from ckanext.files.tests.support.effects import Rows, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, nothing
from ckanext.files.transaction import is_commit_requested

loaded = load_plugins("files", "files_test_probe")

each_probe = pytest.mark.parametrize("probe", ["probe", "probe_eager", "probe_apart"])


@each_probe
@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_asked_last_in_a_frame(
    commits: bool, probe: str, nested: bool, rows: Rows, called: list[Any], lost: Any
) -> None:
    """The action need not commit, and what it asks for may come after its own commit."""

    def do() -> None:
        if commits:
            rows.write("first")
            model.Session.commit()
        rows.write("row")
        on_commit(lambda: called.append(1))

    in_action(lambda: in_action(do, probe)) if nested else in_action(do, probe)
    assert called == [1]
    assert "row" in rows.committed
    assert not is_commit_requested(model.Session())
    model.Session.remove()
    assert not lost()


@each_probe
def test_failing_action(probe: str, rows: Rows, called: list[Any], lost: Any) -> None:
    """It gets nothing, and its caller knows."""

    def do() -> None:
        rows.write("row")
        on_commit(lambda: called.append(1))
        fail()

    with pytest.raises(ProbeError):
        in_action(do, probe)
    assert is_commit_requested(model.Session()) is (probe == "probe_apart")  # as in stock CKAN
    model.Session.rollback()
    model.Session.commit()
    assert not called
    assert not rows.committed
    assert not lost()


@pytest.mark.parametrize("commits", [True, False])
def test_caller_keeps_the_commit(commits: bool, rows: Rows, called: list[Any], lost: Any) -> None:
    """Also of an action that commits all the same, as CKAN's do when a group's datasets change."""

    def do() -> None:
        rows.write("row")
        on_commit(lambda: called.append(1))
        if commits:
            model.Session.commit()

    with count_commits() as transactions:
        in_action(lambda: in_action(do, defer_commit=True))
    assert not transactions
    assert is_commit_requested(model.Session())
    model.Session.commit()
    assert called == [1]
    in_action(do, defer_commit=True)
    model.Session.remove()
    assert called == [1]
    assert len(lost()) == 1


@pytest.mark.parametrize("end", ["close", "remove"])
def test_session_ends_without_a_commit(end: str, lost: Any) -> None:
    line = sys._getframe().f_lineno + 1
    on_commit(nothing)
    with model.Session.begin_nested():
        on_commit(nothing)
    model.Session.begin_nested()
    on_commit(nothing)
    getattr(model.Session, end)()
    first, second, third = lost()
    assert first.startswith(f"The callback {nothing!r} is lost: {__file__}:{line} asked for it")
    assert all(f"{__file__}:" in each for each in (second, third))
    assert "Commit" in first
    getattr(model.Session, end)()
    assert len(lost()) == 3


@pytest.mark.parametrize("savepoints", [0, 1, 2])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_commit_and_rollback_are_no_loss(end: str, savepoints: int, lost: Any) -> None:
    on_commit(nothing)
    for _ in range(savepoints):
        model.Session.begin_nested()
        on_commit(nothing)
    for _ in range(savepoints + 1):  # SQLAlchemy 1.4 ends one at a time
        getattr(model.Session, end)()
    model.Session.remove()
    assert not lost()


def test_savepoint_that_is_rolled_back(lost: Any) -> None:
    outer = model.Session.begin_nested()
    on_commit(nothing)
    with model.Session.begin_nested():
        on_commit(nothing)
    outer.rollback()
    on_commit(nothing)
    model.Session.remove()
    assert len(lost()) == 1


def test_thread_ends_without_a_commit(lost: Any) -> None:
    thread = threading.Thread(target=lambda: on_commit(nothing))
    thread.start()
    thread.join()
    gc.collect()
    assert len(lost()) == 1


def test_process_ends_without_a_commit() -> None:
    script = "from ckanext.files.shared import on_commit\non_commit(print)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "The callback <built-in function print> is lost: <string>:2 asked for it" in run.stderr


@pytest.fixture
def ask_at_next_commit(called: list[Any]) -> Iterator[Callable[[], None]]:
    """Ask when SQLAlchemy announces a commit, or the release of a savepoint."""

    def ask(session: Any) -> None:
        on_commit(lambda: called.append(1))

    yield lambda: event.listen(model.Session, "after_commit", ask, once=True)
    if event.contains(model.Session, "after_commit", ask):
        event.remove(model.Session, "after_commit", ask)


@pytest.mark.parametrize("savepoint", [True, False])
def test_listener_to_a_commit_asks(
    savepoint: bool, ask_at_next_commit: Any, called: list[Any], lost: Any
) -> None:
    transaction = model.Session.begin_nested() if savepoint else model.Session()
    ask_at_next_commit()
    transaction.commit()
    model.Session.commit()
    assert called == [1]
    model.Session.remove()
    assert not lost()


def test_listener_to_a_released_savepoint_asks_within_an_action(
    ask_at_next_commit: Any, called: list[Any]
) -> None:
    """No hold can begin then; the action commits at its end all the same."""

    def do() -> None:
        ask_at_next_commit()
        model.Session.begin_nested().commit()
        assert not called

    in_action(do)
    assert called == [1]
