"""Before Solr is asked an intent is written; and what that needs, or does without."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from ckanext.files.shared import add_task
from ckanext.files.tests.support import effects
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import at_each_commit, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_hold
from ckanext.files.tests.support.solr import announced, intents, retitle, title_in_solr
from ckanext.files.transaction import index_intents

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture(autouse=True)
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A connection for intents that no other test has used."""
    line = index_intents._IntentConnection()
    monkeypatch.setattr(index_intents, "_connection", line)
    yield line
    line._drop()


@pytest.fixture
def change(dataset: dict[str, Any]) -> Any:
    """Change the title of the dataset within a hold."""
    return lambda title, **context: in_hold(lambda: retitle(dataset["id"], title), **context)


def test_intent_is_there_before_solr_is_asked(dataset: dict[str, Any], hooks: Any) -> None:
    """Locked until the commit, with which it goes."""
    seen: list[Any] = []

    def notice(*_: Any) -> None:
        seen.append((announced(), intents()))

    hooks["before:package_update"] = lambda *_: add_task(
        lambda *_: hooks.update(before_dataset_index=notice)
    )
    with at_each_commit(notice):
        retitle(dataset["id"], "after")
    assert seen[-2:] == [([dataset["id"]], []), ([dataset["id"]], [])]
    assert announced() == []
    assert title_in_solr(dataset["id"]) == "after"


def test_nothing_to_announce(dataset: dict[str, Any], hooks: Any, line: Any) -> None:
    """An action without a task, a task without datasets, a failure before Solr is asked."""
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append(announced())
    with at_each_commit(lambda: seen.append(announced())):
        retitle(dataset["id"], "after")
    assert seen == [[], []]
    in_hold(factories.User)
    with pytest.raises(ProbeError):
        in_hold(lambda: (retitle(dataset["id"], "later"), fail()))
    assert announced() == []
    assert line._connection is None


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_caller_keeps_the_commit(
    end: str, dataset: dict[str, Any], change: Any, hooks: Any
) -> None:
    change("after", defer_commit=True)
    assert announced() == []
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append((announced(), intents()))
    getattr(model.Session, end)()
    assert seen[-1:] == ([([dataset["id"]], [])] if end == "commit" else [])
    assert announced() == []
    assert title_in_solr(dataset["id"]) == ("after" if end == "commit" else "before")


def test_pool_is_not_needed() -> None:
    """As many requests as the pool has connections do not wait for each other."""
    made = [factories.Dataset()["id"] for _ in range(3)]
    model.Session.remove()
    small = sa.create_engine(engine().url, pool_size=3, max_overflow=0, pool_timeout=10)
    barrier = threading.Barrier(3)

    def change(one: str) -> None:
        try:
            in_hold(lambda: (retitle(one, "after"), barrier.wait(30)))
        finally:
            model.Session.remove()

    model.Session.configure(bind=small)
    try:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(change, made))  # raises what one of them has raised
    finally:
        model.Session.remove()
        model.Session.configure(bind=engine())
        small.dispose()
    assert [title_in_solr(one) for one in made] == ["after"] * 3


def test_connection_that_is_lost_is_made_anew(
    dataset: dict[str, Any], change: Any, hooks: Any, line: Any
) -> None:
    change("first")
    look("SELECT pg_terminate_backend(:pid)", pid=line._connection.get_backend_pid())
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append(announced())
    change("second")
    assert seen[-1] == [dataset["id"]]
    assert title_in_solr(dataset["id"]) == "second"


def test_forked_process_has_a_connection_of_its_own(
    dataset: dict[str, Any], change: Any, line: Any
) -> None:
    change("first")
    pid = line._connection.get_backend_pid()
    child = fork(lambda: change("of the child"))
    change("of the parent")
    assert os.waitpid(child, 0)[1] == 0
    change("last")
    assert line._connection.get_backend_pid() == pid
    assert title_in_solr(dataset["id"]) == "last"


def test_connection_that_cannot_be_had(
    dataset: dict[str, Any], change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The action is done all the same, and the log says what is missing."""

    def refuse(*_: Any) -> None:
        raise OperationalError("connect", {}, Exception("too many clients"))

    event.listen(engine(), "do_connect", refuse)
    in_hold(lambda: model.Session.execute(sa.text("SELECT 1")))
    try:
        with caplog.at_level(logging.WARNING):
            change("after")
    finally:
        event.remove(engine(), "do_connect", refuse)
    assert "Solr cannot be repaired" in caplog.text
    assert "too many clients" in caplog.text
    assert title_in_solr(dataset["id"]) == "after"


@pytest.fixture
def no_table(dataset: dict[str, Any]) -> Iterator[None]:
    effects.change("ALTER TABLE files_index_intent RENAME TO files_index_intent_away")
    yield
    model.Session.remove()
    effects.change("DROP TABLE IF EXISTS files_index_intent")
    effects.change("ALTER TABLE files_index_intent_away RENAME TO files_index_intent")


@pytest.mark.usefixtures("no_table")
def test_without_the_table(
    dataset: dict[str, Any], change: Any, hooks: Any, line: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Actions work, one line of the log says what to run, and the table is found once it is there.

    It may vanish again.
    """
    seen: list[Any] = []
    with caplog.at_level(logging.WARNING):
        change("first")
        line._missing_until = 0.0  # a minute later
        change("second")
        assert title_in_solr(dataset["id"]) == "second"
        effects.change(
            "CREATE TABLE files_index_intent (LIKE files_index_intent_away INCLUDING ALL)"
        )
        line._missing_until = 0.0
        hooks["before_dataset_index"] = lambda _: seen.append(announced())
        change("third")
        assert seen[-1] == [dataset["id"]]
        hooks.clear()
        effects.change("DROP TABLE files_index_intent")
        change("fourth")
        assert title_in_solr(dataset["id"]) == "fourth"
    assert [r.getMessage() for r in caplog.records if "intent" in r.getMessage()] == [
        "The table files_index_intent is missing. Until it is there, a process that is killed "
        "while it commits may leave Solr with a change that was not committed. "
        "Run: ckan db upgrade -p files"
    ]
