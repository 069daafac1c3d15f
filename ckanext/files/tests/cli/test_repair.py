"""``ckan files check`` and ``ckan files repair-index`` after processes were killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan.lib.search import SearchIndexError
from ckan.tests import factories

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.cli import repair
from ckanext.files.store.storages import storages
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.crash import die_between_solr_and_commit as die
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.solr import document, intents, retitle, solr_away, title_in_solr
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.transaction import index_repair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checked")


@pytest.fixture(scope="module", autouse=True)
def loaded(folder: Path) -> Iterator[None]:
    uuid4 = {"location_transformers": "uuid4"}
    checked = storage_options("checked", type="files:fs", path=folder, **uuid4)
    core = storage_options("core", type="ckan:fs", path=folder / "core", initialize="true")
    with plugins_loaded("files", "files_test_probe", **checked, **core):
        yield
    storages.reset()


def test_check(folder: Path) -> None:
    code, said = run("check", "nowhere")
    assert code == 2
    assert "ckan.files.storage.nowhere.type" in said
    sysadmin, left = new_user(sysadmin=True), folder / "left"
    file = call("file_create", sysadmin, name="a.txt", upload=b"hello", storage="checked")
    code, said = run("check", "checked")
    assert code == 0, said
    assert "Rows without bytes: 0" in said
    assert "Bytes without a row: 0" in said
    left.write_text("left")
    code, said = run("check", "checked")
    assert code == 1
    assert "Bytes without a row: 1\nchecked\tleft\n" in said
    assert file["location"] not in said
    assert left.exists()
    assert "checked\tleft" in run("check")[1]
    assert "checked\tleft" not in run("check", "default")[1]
    [unknown] = portal.put(None)
    site.change(unknown, storage="gone")
    assert "gone: 1 files cannot be looked for" in run("check")[1]
    portal.delete_file(unknown)
    left.unlink()
    (folder / file["location"]).unlink()
    code, said = run("check", "checked")
    assert code == 1
    assert f"Rows without bytes: 1\nchecked\t{file['id']}\n" in said
    portal.delete_file(file["id"])


@pytest.mark.parametrize("storage", ["checked", "core"])
def test_names_that_begin_with_a_dot(folder: Path, storage: str) -> None:
    """CKAN makes ``.csv`` of a name in letters that it does not keep."""
    locations = {".csv", ".hidden/a.csv", ".hidden/.csv", "..a"}
    paths = [(folder if storage == "checked" else folder / "core") / each for each in locations]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("left")
    code, said = run("check", storage)
    for path in paths:
        path.unlink()
    assert code == 1
    _, _, listed = said.partition("Bytes without a row: 4\n")
    assert set(listed.splitlines()) == {f"{storage}\t{location}" for location in locations}


def test_file_whose_name_begins_with_a_dot(folder: Path) -> None:
    name = "\u0434\u0430\u043d\u043d\u044b\u0435.csv"
    file = call("file_create", None, name=name, upload=b"hello", storage="core")
    assert file["location"] == ".csv"
    code, said = run("check", "core")
    assert code == 0, said
    (folder / "core" / ".csv").unlink()
    code, said = run("check", "core")
    portal.delete_file(file["id"])
    assert f"Rows without bytes: 1\ncore\t{file['id']}\n" in said


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(repair, "_PAUSE", 0.01)
    monkeypatch.setattr(index_repair, "_PAUSES", (0.02, 0.05))
    return _lose_a_change()


def _lose_a_change() -> str:
    """Make a dataset of which Solr has a change that was not committed; return its id."""
    id_ = factories.Dataset(title="before")["id"]
    die(lambda: retitle(id_, "never"))
    assert title_in_solr(id_) == "never"
    return id_


def _repaired(*ids: str) -> list[str]:
    return [f"{id_}: Solr has what the database has" for id_ in sorted(ids)]


def test_repair_index(dataset: str, unique: Any, hooks: Any) -> None:
    name = unique("never")
    die(lambda: call("package_create", None, name=name))
    lost = intents()
    [(first, _), (second, _)] = lost
    assert first == dataset
    with solr_away():
        code, said = run("repair-index")
    assert code == 1
    assert [line.split(": ")[0] for line in said.splitlines()] == sorted([first, second])
    assert intents() == lost

    def fail(document: dict[str, Any]) -> None:
        raise SearchIndexError

    hooks["before_dataset_index"] = fail
    change("UPDATE files_index_intent SET due = due + interval '60 s'")
    start = time.monotonic()
    code, said = run("repair-index")
    assert time.monotonic() - start < 30, "not only when that would be due"
    assert (code, said.splitlines()) == (1, [*_repaired(second), f"{first}: SearchIndexError()"])
    assert document(name) is None
    assert intents() == [(first, 0)]
    hooks.clear()
    code, said = run("repair-index")
    assert (code, said.splitlines()) == (0, _repaired(first))
    assert title_in_solr(first) == "before"
    assert intents() == []
    assert run("repair-index") == (0, "There is nothing to repair.\n")


def test_solr_is_back_meanwhile(dataset: str, hooks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another dataset keeps the command busy; what failed at first is tried again."""
    monkeypatch.setattr(index_repair, "_PAUSES", (1, 3))
    other, failed = _lose_a_change(), []

    def fail_once(document: dict[str, Any]) -> None:
        if document["id"] == dataset and not failed:
            failed.append(document["id"])
            raise SearchIndexError("away")

    hooks["before_dataset_index"] = fail_once
    code, said = run("repair-index")
    assert (code, failed) == (0, [dataset])
    assert said.splitlines() == _repaired(dataset, other)
    assert title_in_solr(dataset) == "before"
    assert intents() == []


def test_without_the_table() -> None:
    change("ALTER TABLE files_index_intent RENAME TO away")
    code, said = run("repair-index")
    change("ALTER TABLE away RENAME TO files_index_intent")
    assert code == 1
    assert "Run: ckan db upgrade -p files" in said


@pytest.mark.skipif(CORE_FILES, reason="CKAN has files of its own")
def test_to_core_needs_ckan_2_12() -> None:
    code, text = run("to-core")
    assert code == 1
    assert "Upgrade to CKAN 2.12 first" in text
