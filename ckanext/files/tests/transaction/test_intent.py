"""Before Solr is asked an intent is written; and what that needs, or does without."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.shared import add_task
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import at_each_commit, engine, look
from ckanext.files.tests.support.intents import announced, intents
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_hold
from ckanext.files.tests.support.solr import retitle, title_in_solr
from ckanext.files.tests.support.users import call
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


def test_action_without_a_task_writes_none(dataset: dict[str, Any], hooks: Any, line: Any) -> None:
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append(announced())
    with at_each_commit(lambda: seen.append(announced())):
        retitle(dataset["id"], "after")
    assert seen == [[], []]
    assert line._connection is None


def test_task_without_datasets_writes_none(line: Any) -> None:
    in_hold(factories.User)
    assert line._connection is None


def test_failure_before_solr_is_asked_leaves_nothing(dataset: dict[str, Any]) -> None:
    with pytest.raises(ProbeError):
        in_hold(lambda: (retitle(dataset["id"], "after"), fail()))
    assert announced() == []


def test_several_datasets(hooks: Any) -> None:
    made = sorted(factories.Dataset()["id"] for _ in range(3))
    seen: list[Any] = []

    def do() -> None:
        for one in made:
            retitle(one, "after")
            call("package_patch", None, id=one, notes="once more")
        hooks["before_dataset_index"] = lambda _: seen.append(sorted(announced()))

    in_hold(do)
    assert made in seen
    assert all(set(some) <= set(made) and len(some) <= 3 for some in seen)
    assert announced() == []


@pytest.mark.skipif(not CORE_FILES, reason="CKAN 2.11 indexes within the commit")
@pytest.mark.parametrize("deed", ["rollback", "commit", "remove"])
def test_plugin_that_ends_a_transaction_while_it_indexes(
    deed: str, dataset: dict[str, Any], hooks: Any
) -> None:
    """The intent stays locked."""
    seen: list[Any] = []

    def disturb(_: Any) -> None:
        getattr(model.Session, deed)()
        seen.append((announced(), intents()))

    hooks["before:package_update"] = lambda *_: add_task(
        lambda *_: hooks.update(before_dataset_index=disturb)
    )
    retitle(dataset["id"], "after")
    assert seen[-1] == ([dataset["id"]], [])
    assert announced() == []


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
    barrier, errors = threading.Barrier(3), []

    def change(one: str) -> None:
        try:
            in_hold(lambda: (retitle(one, "after"), barrier.wait(30)))
        except BaseException as error:
            errors.append(error)
        finally:
            model.Session.remove()

    model.Session.configure(bind=small)
    try:
        threads = [threading.Thread(target=change, args=[one]) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        model.Session.remove()
        model.Session.configure(bind=engine())
        small.dispose()
    assert not errors
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


class TestWithoutTheTable:
    """The table of intents was not made yet."""

    @pytest.fixture(autouse=True)
    def no_table(self, dataset: dict[str, Any]) -> Iterator[None]:
        self._run("ALTER TABLE files_index_intent RENAME TO files_index_intent_away")
        yield
        model.Session.remove()
        self._run("ALTER TABLE files_index_intent_away RENAME TO files_index_intent")

    @staticmethod
    def _run(statement: str) -> None:
        with engine().begin() as connection:
            connection.execute(sa.text(statement))

    def test_actions_work(
        self, dataset: dict[str, Any], change: Any, caplog: pytest.LogCaptureFixture, line: Any
    ) -> None:
        """One line says what to run."""
        with caplog.at_level(logging.WARNING):
            change("first")
            line._missing_until = 0.0
            change("second")
        assert title_in_solr(dataset["id"]) == "second"
        assert [r.getMessage() for r in caplog.records if "intent" in r.getMessage()] == [
            "The table files_index_intent is missing. Until it is there, a process that is killed "
            "while it commits may leave Solr with a change that was not committed. "
            "Run: ckan db upgrade -p files"
        ]

    def test_it_is_found_when_it_was_made(
        self, dataset: dict[str, Any], change: Any, hooks: Any, line: Any
    ) -> None:
        change("first")
        self._run("CREATE TABLE files_index_intent (LIKE files_index_intent_away INCLUDING ALL)")
        line._missing_until = 0.0  # a minute later
        seen: list[Any] = []
        hooks["before_dataset_index"] = lambda _: seen.append(announced())
        change("second")
        self._run("DROP TABLE files_index_intent")
        assert seen[-1] == [dataset["id"]]

    def test_it_vanishes(self, dataset: dict[str, Any], change: Any, line: Any) -> None:
        """After it was there: as when it was never there."""
        change("first")
        line._missing_until = 0.0
        line._look_for_table = lambda: None
        change("second")
        assert title_in_solr(dataset["id"]) == "second"
