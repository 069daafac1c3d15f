"""``ckan files check`` finds what misses its other half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ckan import model

from ckanext.files.store.storages import storages
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.load_plugins import plugins_loaded
from ckanext.files.tests.support.users import call, new_user

PREFIX = "ckan.files.storage"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checked")


@pytest.fixture(scope="module", autouse=True)
def loaded(folder: Path) -> Iterator[None]:
    options = {
        "checked.type": "files:fs",
        "checked.path": str(folder),
        "checked.location_transformers": "uuid4",
        "core.type": "ckan:fs",
        "core.path": str(folder / "core"),
        "core.initialize": "true",
    }
    named = {f"{PREFIX}.{name}": value for name, value in options.items()}
    with plugins_loaded("files", **named):
        yield
    storages.reset()


@pytest.fixture
def file(folder: Path) -> Iterator[dict[str, str]]:
    sysadmin = new_user(sysadmin=True)
    file = call("file_create", sysadmin, name="a.txt", upload=b"hello", storage="checked")
    model.Session.remove()
    yield file
    portal.delete_file(file["id"])
    for left in folder.rglob("*"):
        if left.is_file():
            left.unlink()


def test_all_is_well(file: dict[str, str]) -> None:
    code, said = run("check", "checked")
    assert code == 0, said
    assert "Rows without bytes: 0" in said
    assert "Bytes without a row: 0" in said


def test_row_without_bytes(file: dict[str, str], folder: Path) -> None:
    (folder / file["location"]).unlink()
    code, said = run("check", "checked")
    assert code == 1
    assert f"Rows without bytes: 1\nchecked\t{file['id']}\n" in said


def test_bytes_without_a_row(file: dict[str, str], folder: Path) -> None:
    (folder / "left").write_text("left")
    code, said = run("check", "checked")
    assert code == 1
    assert "Bytes without a row: 1\nchecked\tleft\n" in said
    assert file["location"] not in said
    assert (folder / "left").exists()


@pytest.mark.parametrize("storage", ["checked", "core"])
@pytest.mark.parametrize("location", [".csv", ".hidden/a.csv", ".hidden/.csv", "..a"])
def test_names_that_begin_with_a_dot(folder: Path, storage: str, location: str) -> None:
    """CKAN makes ``.csv`` of a name in letters that it does not keep."""
    path = (folder if storage == "checked" else folder / "core") / location
    path.parent.mkdir(exist_ok=True)
    path.write_text("left")
    code, said = run("check", storage)
    path.unlink()
    assert code == 1
    assert f"Bytes without a row: 1\n{storage}\t{location}\n" in said


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


def test_all_storages(file: dict[str, str], folder: Path) -> None:
    (folder / "left").write_text("left")
    assert "checked\tleft" in run("check")[1]
    assert "checked\tleft" not in run("check", "default")[1]


def test_unknown_storage() -> None:
    code, said = run("check", "nowhere")
    assert code == 1
    assert "ckan.files.storage.nowhere.type" in said
