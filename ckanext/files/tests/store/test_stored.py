"""Which storages a table names, and whether the bytes are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Connection

from ckanext.files.backport.tables import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages
from ckanext.files.store.storages import get_storage, make_upload
from ckanext.files.store.stored import Stored, find_missing, list_storages, unnamed
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.old_tables import old_tables, run

loaded = load_plugins("files")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with old_tables() as engine:
        stored = get_storage("default").upload("stored", make_upload(b"hello"))
        run(engine, f"UPDATE files_file SET location = '{stored.location}' WHERE id = 'f1'")
        run(engine, "UPDATE files_file SET location = '../../f2' WHERE id = 'f2'")
        columns = "id, name, storage, location"
        run(engine, f"INSERT INTO files_file ({columns}) VALUES ('f0', 'a', 'gone', 'x')")
        with engine.connect() as connection:
            yield connection


def test_storages(connection: Connection) -> None:
    assert list_storages(connection, file_table) == [
        Stored("default", 3, is_configured=True, can_be_asked=True),
        Stored("gone", 1, is_configured=False, can_be_asked=False),
    ]


def test_missing_bytes(connection: Connection) -> None:
    looked_at: list[int] = []
    stored = list_storages(connection, file_table)[0]
    assert find_missing(connection, file_table, stored, looked_at.append) == ["f2", "f3"]
    assert sum(looked_at) == 3


def test_other_paths_of_the_same_place(connection: Connection) -> None:
    """Neither the row nor the question has to spell it as a scan does."""
    run(connection.engine, "UPDATE files_file SET location = './/l3' WHERE id = 'f3'")
    stored = list_storages(connection, file_table)[0].storage
    asked = ["l3", "./l3", "l3/", "x/l3", "./x/l3", "../../f2", "./l4"]
    left = unnamed(connection, file_table, stored, asked, OverlappingStorages(stored))
    assert left == ["x/l3", "./x/l3", "./l4"]
