"""A web process with one connection to the database answers all requests.

So none of them holds two at once. As many such requests as a process has connections would wait
for each other, and stop it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from ckanext.files.store.storages import Location, get_storage
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.uploads.conftest import spooled

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(app: Any, lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.fork(app, _have_one_connection)


def _have_one_connection() -> None:
    few = sa.create_engine(engine().url, pool_size=1, max_overflow=0, pool_timeout=5)
    engine().pool = few.pool


@pytest.mark.parametrize("storage", ["default", "folder", "cloud"])
def test_each_method(tus: Tus, storage: str) -> None:
    url = tus.begin(9 * MIB, storage=storage)
    assert tus.patch(url, 0, bytes(8 * MIB)).status_code == 204
    assert tus.offset(url) == 8 * MIB
    assert "File-Id" in tus.patch(url, 8 * MIB, bytes(MIB)).headers
    assert "File-Id" in tus.head(url).headers
    other = tus.create(9, "a.txt", b"123", storage=storage)
    change("UPDATE files_upload SET expires = now() WHERE id = :id", id=id_of(url))
    assert "File-Id" in tus.create(3, "a.txt", b"123", storage=storage).headers
    assert tus.head(url).status_code == 404
    assert tus.send("DELETE", other.headers["Location"]).status_code == 204
    assert tus.patch("upload/unknown", 0, b"123").status_code == 404
    assert tus.create(3, "", storage=storage).status_code == 400


@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_removal_of_what_was_not_committed(tus: Tus, storage: str) -> None:
    """The bytes of a file that has no row, since a kill or an error came before the commit."""
    url = tus.begin(9 * MIB, storage=storage)
    assert tus.patch(url, 0, bytes(8 * MIB)).status_code == 204
    change("UPDATE files_upload SET is_stored = true WHERE id = :id", id=id_of(url))
    if storage == "folder":
        _link(url)
    assert tus.send("DELETE", url).status_code == 204
    assert tus.head(url).status_code == 404


def _link(url: str) -> None:
    os.link(spooled(url), get_storage("folder").full_path(Location("linked")))
    change("UPDATE files_upload SET location = 'linked' WHERE id = :id", id=id_of(url))


def test_answers_that_wait_for_their_clients(tus: Tus) -> None:
    """They hold no connection."""
    url = tus.begin(5)
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(tus.open("upload/unknown", 0, MIB))
            connection.sendall(b"x")
            time.sleep(0.2)
        start = time.monotonic()
        assert tus.head(url).status_code == 200
        assert time.monotonic() - start < 1


def id_of(url: str) -> str:
    return url.rpartition("/")[2]
