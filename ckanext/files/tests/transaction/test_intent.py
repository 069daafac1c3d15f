"""Before Solr is asked, others are told of it; and what that needs, or does without."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins.toolkit as tk
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
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.transaction import index_intents

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def dataset() -> dict[str, Any]:
    made = factories.Dataset(title="before")
    model.Session.remove()
    return made


@pytest.fixture(autouse=True)
def line(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection for intents that no other test has used."""
    line = index_intents._IntentConnection()
    monkeypatch.setattr(index_intents, "_connection", line)
    yield line
    line._drop()


def patch(dataset: dict[str, Any], **changes: Any) -> None:
    tk.get_action("package_patch")({"ignore_auth": True}, {"id": dataset["id"], **changes})


def hold(do: Callable[[], Any], **context: Any) -> None:
    tk.get_action("probe_eager")(context, {"do": lambda _: do()})  # pyright: ignore[reportArgumentType]


def test_intent_is_there_before_solr_is_asked(dataset: dict[str, Any], hooks: Any) -> None:
    """Locked until the commit, with which it goes."""
    seen: list[Any] = []

    def notice(*_: Any) -> None:
        seen.append((announced(), intents()))

    hooks["before:package_update"] = lambda *_: add_task(
        lambda *_: hooks.update(before_dataset_index=notice)
    )
    with at_each_commit(notice):
        patch(dataset, title="after")
    assert seen[-2:] == [([dataset["id"]], []), ([dataset["id"]], [])]
    assert announced() == []
    assert title_in_solr(dataset["id"]) == "after"


def test_action_without_a_task_tells_nothing(
    dataset: dict[str, Any], hooks: Any, line: Any
) -> None:
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append(announced())
    with at_each_commit(lambda: seen.append(announced())):
        patch(dataset, title="after")
    assert seen == [[], []]
    assert line._connection is None


def test_task_without_datasets_tells_nothing(line: Any) -> None:
    user = factories.User.stub()
    hold(lambda: factories.User(name=user.name))
    assert line._connection is None


def test_failure_before_solr_is_asked_leaves_nothing(dataset: dict[str, Any]) -> None:
    def fail() -> None:
        patch(dataset, title="after")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hold(fail)
    assert announced() == []


def test_several_datasets(hooks: Any) -> None:
    made = [factories.Dataset() for _ in range(3)]
    seen: list[Any] = []

    def change() -> None:
        for one in made:
            patch(one, title="after")
            patch(one, notes="once more")
        hooks["before_dataset_index"] = lambda _: seen.append(sorted(announced()))

    hold(change)
    expected = sorted(one["id"] for one in made)
    assert expected in seen
    assert all(set(some) <= set(expected) and len(some) <= 3 for some in seen)
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
    patch(dataset, title="after")
    assert seen[-1] == ([dataset["id"]], [])
    assert announced() == []


def test_commit_of_a_caller(dataset: dict[str, Any], hooks: Any) -> None:
    """A caller who has kept the commit commits what was held."""
    hold(lambda: patch(dataset, title="after"), defer_commit=True)
    assert announced() == []
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append((announced(), intents()))
    model.Session.commit()
    assert seen[-1] == ([dataset["id"]], [])
    assert announced() == []
    assert title_in_solr(dataset["id"]) == "after"


def test_rollback_of_a_caller(dataset: dict[str, Any]) -> None:
    hold(lambda: patch(dataset, title="after"), defer_commit=True)
    model.Session.rollback()
    assert announced() == []


def test_pool_is_not_needed(unique: Any) -> None:
    """As many requests as the pool has connections do not wait for each other."""
    made = [factories.Dataset() for _ in range(3)]
    model.Session.remove()
    small = sa.create_engine(engine().url, pool_size=3, max_overflow=0, pool_timeout=10)
    barrier, errors = threading.Barrier(3), []

    def change(one: dict[str, Any]) -> None:
        try:
            hold(lambda: (patch(one, title="after"), barrier.wait(30)))
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
    assert [title_in_solr(one["id"]) for one in made] == ["after"] * 3


def test_connection_that_is_lost_is_made_anew(
    dataset: dict[str, Any], hooks: Any, line: Any
) -> None:
    hold(lambda: patch(dataset, title="first"))
    look("SELECT pg_terminate_backend(:pid)", pid=line._connection.get_backend_pid())
    seen: list[Any] = []
    hooks["before_dataset_index"] = lambda _: seen.append(announced())
    hold(lambda: patch(dataset, title="second"))
    assert seen[-1] == [dataset["id"]]
    assert title_in_solr(dataset["id"]) == "second"


def test_forked_process_has_a_connection_of_its_own(dataset: dict[str, Any], line: Any) -> None:
    hold(lambda: patch(dataset, title="first"))
    pid = line._connection.get_backend_pid()
    child = fork(lambda: hold(lambda: patch(dataset, title="of the child")))
    hold(lambda: patch(dataset, title="of the parent"))
    assert os.waitpid(child, 0)[1] == 0
    hold(lambda: patch(dataset, title="last"))
    assert line._connection.get_backend_pid() == pid
    assert title_in_solr(dataset["id"]) == "last"


def test_connection_that_cannot_be_had(
    dataset: dict[str, Any], caplog: pytest.LogCaptureFixture, line: Any, monkeypatch: Any
) -> None:
    """The action is done all the same, and the log says what is missing."""

    def refuse(*_: Any) -> None:
        raise OperationalError("connect", {}, Exception("too many clients"))

    event.listen(engine(), "do_connect", refuse)
    hold(lambda: model.Session.execute(sa.text("SELECT 1")))
    try:
        with caplog.at_level(logging.WARNING):
            hold(lambda: patch(dataset, title="after"))
    finally:
        event.remove(engine(), "do_connect", refuse)
    assert "Solr cannot be repaired" in caplog.text
    assert "too many clients" in caplog.text
    assert title_in_solr(dataset["id"]) == "after"


class TestWithoutTheTable:
    """The table of intents was not made yet."""

    @pytest.fixture(autouse=True)
    def no_table(self, dataset: dict[str, Any]) -> Iterator[None]:
        def rename(before: str, after: str) -> None:
            with engine().begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE {before} RENAME TO {after}"))

        rename("files_index_intent", "files_index_intent_away")
        yield
        model.Session.remove()
        rename("files_index_intent_away", "files_index_intent")

    def test_actions_work(
        self, dataset: dict[str, Any], caplog: pytest.LogCaptureFixture, line: Any
    ) -> None:
        """One line says what to run."""
        with caplog.at_level(logging.WARNING):
            hold(lambda: patch(dataset, title="first"))
            line._missing_until = 0.0
            hold(lambda: patch(dataset, title="second"))
        assert title_in_solr(dataset["id"]) == "second"
        assert [r.getMessage() for r in caplog.records if "intent" in r.getMessage()] == [
            "The table files_index_intent is missing. Until it is there, a process that is killed "
            "while it commits may leave Solr with a change that was not committed. "
            "Run: ckan db upgrade -p files"
        ]

    def test_it_is_found_when_it_was_made(
        self, dataset: dict[str, Any], hooks: Any, line: Any
    ) -> None:
        hold(lambda: patch(dataset, title="first"))
        with engine().begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TABLE files_index_intent (LIKE files_index_intent_away INCLUDING ALL)"
                )
            )
        line._missing_until = 0.0  # a minute later
        seen: list[Any] = []
        hooks["before_dataset_index"] = lambda _: seen.append(announced())
        hold(lambda: patch(dataset, title="second"))
        with engine().begin() as connection:
            connection.execute(sa.text("DROP TABLE files_index_intent"))
        assert seen[-1] == [dataset["id"]]

    def test_it_vanishes(self, dataset: dict[str, Any], line: Any) -> None:
        """After it was there: as when it was never there."""
        hold(lambda: patch(dataset, title="first"))
        line._missing_until = 0.0
        line._look_for_table = lambda: None
        hold(lambda: patch(dataset, title="second"))
        assert title_in_solr(dataset["id"]) == "second"
