"""A file in the folder of another storage is no stray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ckan.common import config

from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages, StorageLocation
from ckanext.files.store.storages import storages
from ckanext.files.store.stored import find_strays
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import plugins_loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("overlapping")


@pytest.fixture(scope="module", autouse=True)
def loaded(folder: Path) -> Iterator[None]:
    """``outer`` has ``inner`` and CKAN's own folders in it, ``twin`` has the same folder."""
    (folder / "link").symlink_to(folder / "outer")
    options: dict[str, Any] = {}
    paths = {"outer": "outer", "inner": "outer/sub", "twin": "link", "apart": "outer-not"}
    for name, path in paths.items():
        options[f"ckan.files.storage.{name}.type"] = "files:fs"
        options[f"ckan.files.storage.{name}.path"] = str(folder / path)
        options[f"ckan.files.storage.{name}.initialize"] = "true"
    for name, path in {"memory": "", "memory_below": "below"}.items():
        options[f"ckan.files.storage.{name}.type"] = "ckan:memory"
        options[f"ckan.files.storage.{name}.path"] = path
    with plugins_loaded("files", **options):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def bytes_everywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(config, "ckan.storage_path", str(folder / "outer"))
    places = ("outer/a", "outer/sub/b", "outer/resources/abc/c", "outer/storage/uploads/d")
    for place in (*places, "outer/webassets/e", "outer-not/f"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)
    yield
    with engine().begin() as connection:
        connection.execute(sa.text(f"DELETE FROM {portal.FILES} WHERE location IN ('a', 'sub/b')"))


def _name(storage: str, location: str) -> None:
    [id_] = portal.put(None)
    with engine().begin() as connection:
        change = file_table.update().where(file_table.c.id == id_)
        connection.execute(change.values(storage=storage, location=location))


def _strays(storage: str) -> list[str]:
    with engine().connect() as connection:
        return sorted(find_strays(connection, file_table, storage))


def test_folders_of_others_are_left_out() -> None:
    assert _strays("outer") == ["a"]
    assert _strays("inner") == ["b"]
    assert _strays("apart") == ["f"]


def test_row_of_a_storage_with_the_same_folder() -> None:
    _name("twin", "a")
    assert _strays("outer") == []


def test_row_of_a_storage_above() -> None:
    _name("outer", "sub/b")
    assert _strays("inner") == []
    assert _strays("outer") == ["a"]


def test_folder_that_ckan_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """CKAN keeps things without rows there: all of it may be CKAN's."""
    monkeypatch.setitem(config, "ckan.files.default_storages.user", "twin")
    assert _strays("outer") == []


def test_prefixes_in_a_bucket() -> None:
    assert OverlappingStorages("memory").owns("x")
    assert not OverlappingStorages("memory").owns("below/x")
    assert OverlappingStorages("memory_below").other_names("x") == [
        StorageLocation("memory", "below/x")
    ]
