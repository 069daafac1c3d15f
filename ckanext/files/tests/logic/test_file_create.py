"""The action ``file_create`` of CKAN and of the backport does the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.tests import factories
from file_keeper import Upload
from sqlalchemy.exc import IntegrityError

from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.load_plugins import plugins_loaded
from ckanext.files.tests.support.solr import title_in_solr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module", autouse=True)
def loaded(folder: Path) -> Iterator[None]:
    """A storage that keeps each file under its name."""
    prefix = "ckan.files.storage.own"
    with plugins_loaded("files", **{f"{prefix}.type": "files:fs", f"{prefix}.path": str(folder)}):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def nothing_committed(folder: Path) -> Iterator[None]:
    yield
    model.Session.rollback()
    for path in folder.iterdir():
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def _create(upload: Any = b"hello", name: str = "a.txt", **data: Any) -> dict[str, Any]:
    context: Any = {"ignore_auth": True, "defer_commit": True}
    values = {"name": name, "storage": "own", "upload": upload, **data}
    return tk.get_action("file_create")(context, values)


def test_name_of_a_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    with pytest.raises(tk.ValidationError, match="already exists"):
        _create(name="sub")


def test_pipe(folder: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert _create(Upload(pipe, "a.txt", 5, "text/plain"))["size"] == 5
    assert (folder / "a.txt").read_bytes() == b"hello"


def test_storage_gets_further_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, given = get_storage("own"), []
    upload = keeper.uploader.upload

    def look(location: Any, content: Any, extras: dict[str, Any]) -> Any:
        given.append(extras)
        return upload(location, content, extras)

    monkeypatch.setattr(keeper.uploader, "upload", look)
    _create(more={"a": 1})
    _create(name="b.txt")
    assert given == [{"ckan_api": {"more": {"a": 1}}}, {"ckan_api": {}}]


def test_what_the_caller_has_left_to_be_written() -> None:
    """Its failure is none of the upload."""
    taken = factories.Dataset()["name"]
    model.Session.add(model.Package(name=taken))
    with pytest.raises(IntegrityError, match="package_name_key"):  # noqa: PT012 - whichever is first
        _create()
        model.Session.flush()


@pytest.mark.parametrize("fails", [False, True])
def test_search_index_has_nothing_before_the_commit(folder: Path, fails: bool) -> None:
    dataset = factories.Dataset(title="before")
    package = model.Package.get(dataset["id"])
    assert package
    package.title = "after"
    if fails:
        (folder / "sub").mkdir()
        with pytest.raises(tk.ValidationError):
            _create(name="sub")
    else:
        _create()
    model.Session.rollback()
    assert title_in_solr(dataset["id"]) == "before"


@pytest.mark.parametrize("storage", [["x"], {"x": "y"}, 5, True])
def test_storage_that_is_no_name(storage: Any) -> None:
    with pytest.raises(tk.ValidationError) as raised:
        _create(storage=storage)
    assert raised.value.error_dict == {"storage": ["Must be a Unicode string value"]}
