"""A connection that is lost while COMMIT is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ckan import model
from sqlalchemy.exc import DBAPIError, OperationalError

from ckanext.files.shared import CommitUnknownError, add_task, on_commit
from ckanext.files.tests.support.effects import Rows, engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy, session_through_proxy
from ckanext.files.tests.support.solr import retitle, titles
from ckanext.files.transaction import on_rollback, outcome

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with session_through_proxy() as proxy:
        yield proxy


@pytest.mark.parametrize("cut", ["before", "hang"])
def test_commit_did_not_happen(
    cut: Any, dataset: dict[str, Any], proxy: Proxy, hooks: Any, rows: Rows, called: list[Any]
) -> None:
    """Nothing stays, Solr is put right, and the next request works."""

    def undo() -> None:
        rows.lock()  # it is certain by now that the row will not come
        called.append("rolled back")

    def task(*_: Any) -> None:
        rows.write("row")
        on_commit(lambda: called.append("committed"))
        on_rollback(undo)
        proxy.cut = cut

    hooks["before:package_update"] = lambda *_: add_task(task)
    with pytest.raises(OperationalError):
        retitle(dataset["id"], "after")
    assert titles(dataset["id"]) == ("before", "before")
    assert not rows.committed
    assert called == ["rolled back"]
    hooks.clear()
    retitle(dataset["id"], "later")
    assert titles(dataset["id"]) == ("later", "later")


def test_commit_did_happen(
    dataset: dict[str, Any], proxy: Proxy, hooks: Any, rows: Rows, called: list[Any]
) -> None:
    def task(*_: Any) -> None:
        rows.write("row")
        on_commit(lambda: called.append(rows.committed))
        on_rollback(lambda: called.append("rolled back"))
        proxy.cut = "after"

    hooks["before:package_update"] = lambda *_: add_task(task)
    assert retitle(dataset["id"], "after")["title"] == "after"
    assert proxy.cut is None
    assert titles(dataset["id"]) == ("after", "after")
    assert called == [{"row"}]
    hooks.clear()
    retitle(dataset["id"], "later")
    assert titles(dataset["id"]) == ("later", "later")


def test_database_does_not_come_back(
    dataset: dict[str, Any], proxy: Proxy, hooks: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "PATIENCE", 0.3)

    def task(*_: Any) -> None:
        rows.write("row")
        proxy.cut = "after"
        proxy.refuse = True

    hooks["before:package_update"] = lambda *_: add_task(task)
    with pytest.raises(CommitUnknownError, match="COMMIT of transaction"):
        retitle(dataset["id"], "after")
    proxy.refuse = False
    assert rows.committed == {"row"}  # it had happened


def test_outside_of_an_action(proxy: Proxy, rows: Rows, called: list[Any]) -> None:
    """The commit has happened, and only the callback can find that out."""
    rows.write("row")
    on_rollback(lambda: called.append(rows.committed))
    proxy.cut = "after"
    with pytest.raises(DBAPIError):
        model.Session.commit()
    model.Session.rollback()
    assert called == [{"row"}]


def test_transaction_that_wrote_nothing() -> None:
    assert not outcome.has_committed(engine(), None)
