"""A connection that is lost while COMMIT is under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.tests import factories
from sqlalchemy.exc import OperationalError

from ckanext.files.shared import CommitUnknownError, add_task, on_commit
from ckanext.files.tests.support.effects import Effects, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy, session_through_proxy
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.transaction import outcome

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with session_through_proxy() as proxy:
        yield proxy


@pytest.fixture
def dataset() -> dict[str, Any]:
    return factories.Dataset(title="before")


def retitle(dataset: dict[str, Any], title: str) -> Any:
    patch = {"id": dataset["id"], "title": title}
    return tk.get_action("package_patch")({"ignore_auth": True}, patch)


def titles(dataset: dict[str, Any]) -> tuple[Any, Any]:
    """The title in the database and the one in Solr."""
    found = look("SELECT title FROM package WHERE id = :id", id=dataset["id"])
    return found, title_in_solr(dataset["id"])


@pytest.mark.parametrize("cut", ["before", "hang"])
def test_commit_did_not_happen(
    cut: Any, dataset: dict[str, Any], proxy: Proxy, hooks: Any, effects: Effects, unique: Any
) -> None:
    """Nothing stays, Solr is put right, and the next request works."""
    name, called = unique("name"), []

    def task(*_: Any) -> None:
        effects.write(name)
        on_commit(lambda: called.append(1))
        proxy.cut = cut

    hooks["before:package_update"] = lambda *_: add_task(task)
    with pytest.raises(OperationalError):
        retitle(dataset, "after")
    assert titles(dataset) == ("before", "before")
    assert not effects.exists(name)
    assert not called
    hooks.clear()
    retitle(dataset, "later")
    assert titles(dataset) == ("later", "later")


def test_commit_did_happen(
    dataset: dict[str, Any], proxy: Proxy, hooks: Any, effects: Effects, unique: Any
) -> None:
    """The caller never notices."""
    name, called = unique("name"), []

    def task(*_: Any) -> None:
        effects.write(name)
        on_commit(lambda: called.append(effects.exists(name)))
        proxy.cut = "after"

    hooks["before:package_update"] = lambda *_: add_task(task)
    assert retitle(dataset, "after")["title"] == "after"
    assert proxy.cut is None
    assert titles(dataset) == ("after", "after")
    assert called == [True]
    hooks.clear()
    retitle(dataset, "later")
    assert titles(dataset) == ("later", "later")


def test_nobody_can_tell(
    dataset: dict[str, Any],
    proxy: Proxy,
    hooks: Any,
    effects: Effects,
    unique: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database does not come back: the error says that the outcome is unknown."""
    name = unique("name")
    monkeypatch.setattr(outcome, "PATIENCE", 0.3)

    def task(*_: Any) -> None:
        effects.write(name)
        proxy.cut = "after"
        proxy.refuse = True

    hooks["before:package_update"] = lambda *_: add_task(task)
    with pytest.raises(CommitUnknownError, match="COMMIT of transaction"):
        retitle(dataset, "after")
    proxy.refuse = False
    assert effects.exists(name)  # it had happened


def test_transaction_that_wrote_nothing() -> None:
    assert not outcome.has_committed(engine(), None)
