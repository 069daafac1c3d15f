"""Rows whose bytes are missing, and bytes that no row names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan.common import config
from sqlalchemy.engine import Connection

from ckanext.files.backport import tables
from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages, StorageLocation
from ckanext.files.store.storages import get_storage, make_upload, storages
from ckanext.files.store.stored import Stored, find_missing, find_strays, list_storages, unnamed
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.old_tables import old_tables, run


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
        options |= storage_options(name, type="files:fs", path=folder / path, initialize=True)
    for name, path in {"memory": "", "memory_below": "below"}.items():
        options |= storage_options(name, type="ckan:memory", path=path)
    with plugins_loaded("files", **options):
        yield
    storages.reset()


@pytest.fixture
def connection() -> Iterator[Connection]:
    """The tables of ckanext-files 1.3.4: ``f1`` has bytes, ``f2`` lies outside of the storage."""
    with old_tables() as engine:
        stored = get_storage("default").upload("stored", make_upload(b"hello"))
        run(engine, f"UPDATE files_file SET location = '{stored.location}' WHERE id = 'f1'")
        run(engine, "UPDATE files_file SET location = '../../f2' WHERE id = 'f2'")
        columns = "id, name, storage, location"
        run(engine, f"INSERT INTO files_file ({columns}) VALUES ('f0', 'a', 'gone', 'x')")
        with engine.connect() as connection:
            yield connection


def test_missing_bytes(connection: Connection) -> None:
    stored, gone = list_storages(connection, tables.file_table)
    assert stored == Stored("default", 3, is_configured=True, can_be_asked=True)
    assert gone == Stored("gone", 1, is_configured=False, can_be_asked=False)
    looked_at: list[int] = []
    missing = find_missing(connection, tables.file_table, stored, looked_at.append)
    assert missing == ["f2", "f3"]
    assert sum(looked_at) == 3


def test_other_paths_of_the_same_place(connection: Connection) -> None:
    """Neither the row nor the question has to spell it as a scan does."""
    run(connection.engine, "UPDATE files_file SET location = './/l3' WHERE id = 'f3'")
    asked = ["l3", "./l3", "l3/", "x/l3", "./x/l3", "../../f2", "./l4"]
    overlapping = OverlappingStorages("default")
    left = unnamed(connection, tables.file_table, "default", asked, overlapping)
    assert left == ["x/l3", "./x/l3", "./l4"]


@pytest.fixture
def bytes_everywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(config, "ckan.storage_path", str(folder / "outer"))
    places = ("outer/a", "outer/sub/b", "outer/resources/abc/c", "outer/storage/uploads/d")
    for place in (*places, "outer/webassets/e", "outer-not/f", "outer/files_uploads/g"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)
    yield
    change(f"DELETE FROM {portal.FILES} WHERE location IN ('a', 'sub/b')")


def _name(storage: str, location: str) -> None:
    [id_] = portal.put(None)
    update = f"UPDATE {portal.FILES} SET storage = :storage, location = :location WHERE id = :id"
    change(update, storage=storage, location=location, id=id_)


def _strays(storage: str) -> list[str]:
    with engine().connect() as connection:
        return sorted(find_strays(connection, file_table, storage))


def test_file_in_the_folder_of_another_storage_is_no_stray(bytes_everywhere: None) -> None:
    assert [_strays(storage) for storage in ("outer", "inner", "apart")] == [["a"], ["b"], ["f"]]
    # a row of the storage above names it, then one of the storage with the same folder
    _name("outer", "sub/b")
    assert (_strays("inner"), _strays("outer")) == ([], ["a"])
    _name("twin", "a")
    assert _strays("outer") == []


def test_folder_that_ckan_shares(bytes_everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """CKAN keeps things without rows there: all of it may be CKAN's."""
    monkeypatch.setitem(config, "ckan.files.default_storages.user", "twin")
    assert _strays("outer") == []


@pytest.mark.parametrize(("path", "strays"), [("outer/spool", ["a"]), ("outer", []), ("", ["a"])])
def test_uploads_that_are_not_complete(
    bytes_everywhere: None, folder: Path, path: str, strays: list[str], monkeypatch: Any
) -> None:
    """Their folder may be in a storage, which owns nothing of it, or around storages."""
    spool = folder / path
    monkeypatch.setitem(config, "ckanext.files.uploads.path", str(spool))
    spool.mkdir(exist_ok=True)
    (spool / "g").write_text("the first part")
    shutil.rmtree(folder / "outer/files_uploads")  # no spool any more
    try:
        assert _strays("outer") == strays
    finally:
        (spool / "g").unlink()


def test_prefixes_in_a_bucket() -> None:
    assert OverlappingStorages("memory").owns("x")
    assert not OverlappingStorages("memory").owns("below/x")
    assert OverlappingStorages("memory_below").other_names("x") == [
        StorageLocation("memory", "below/x")
    ]
