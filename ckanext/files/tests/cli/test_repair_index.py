"""``ckan files repair-index`` puts Solr right, and says about which datasets."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.lib.search import SearchIndexError
from ckan.tests import factories

from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.crash import die_between_solr_and_commit as die
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.intents import intents
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import document, solr_away, title_in_solr

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def dataset() -> dict[str, Any]:
    """A dataset of which Solr has a change that was not committed."""
    made = factories.Dataset(title="before")
    model.Session.remove()
    patch = {"id": made["id"], "title": "never"}
    die(lambda: tk.get_action("package_patch")({"ignore_auth": True}, patch))
    assert title_in_solr(made["id"]) == "never"
    return made


def test_nothing_to_do() -> None:
    assert run("repair-index") == (0, "There is nothing to repair.\n")


def test_datasets(dataset: dict[str, Any], unique: Any) -> None:
    name, user = unique("never"), factories.Sysadmin()["name"]
    die(lambda: tk.get_action("package_create")({"user": user}, {"name": name}))
    ids = [package_id for package_id, _ in intents()]
    code, said = run("repair-index")
    assert (code, said.splitlines()) == (
        0,
        sorted(f"{package_id}: Solr has what the database has" for package_id in ids),
    )
    assert (title_in_solr(dataset["id"]), document(name)) == ("before", None)
    assert intents() == []


def test_solr_is_away(dataset: dict[str, Any]) -> None:
    with solr_away():
        code, said = run("repair-index")
    assert code == 1
    assert said.startswith(f"{dataset['id']}: ")
    assert intents() == [(dataset["id"], 0)]
    code, said = run("repair-index")  # not only when that would be due
    assert code == 0
    assert title_in_solr(dataset["id"]) == "before"


def test_solr_is_back_meanwhile(dataset: dict[str, Any], hooks: Any) -> None:
    """Another dataset keeps the command busy; what failed at first is tried again."""
    other = factories.Dataset(title="before")
    model.Session.remove()
    die(lambda: tk.get_action("package_patch")({"ignore_auth": True}, {**other, "title": "never"}))

    def fail_once(document: dict[str, Any]) -> None:
        if document["id"] == dataset["id"] and not failed:
            failed.append(document["id"])
            raise SearchIndexError("away")

    failed: list[str] = []
    hooks["before_dataset_index"] = fail_once
    code, said = run("repair-index")
    assert (code, failed) == (0, [dataset["id"]])
    assert sorted(said.splitlines()) == sorted(
        f"{made['id']}: Solr has what the database has" for made in (dataset, other)
    )
    assert title_in_solr(dataset["id"]) == "before"
    assert intents() == []


def test_error_without_a_message(dataset: dict[str, Any], hooks: Any) -> None:
    def fail(document: dict[str, Any]) -> None:
        raise SearchIndexError

    hooks["before_dataset_index"] = fail
    assert run("repair-index") == (1, f"{dataset['id']}: SearchIndexError()\n")
    hooks.clear()
    assert run("repair-index")[0] == 0


def test_without_the_table() -> None:
    with engine().begin() as connection:
        connection.execute(sa.text("ALTER TABLE files_index_intent RENAME TO away"))
    code, said = run("repair-index")
    with engine().begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO files_index_intent"))
    assert code == 1
    assert "Run: ckan db upgrade -p files" in said
