"""Uploads over HTTP: large ones, and those that break off."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from ckan.common import config
from ckan.tests import factories

from ckanext.files.store.models import file_table
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files")

MIB = 1024 * 1024
BOUNDARY = "the-boundary-between-parts"
HEAD = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="upload"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def server(loaded: None, lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.start()


@pytest.fixture(scope="module")
def token(loaded: None) -> str:
    return factories.APIToken(user=new_user(sysadmin=True))["token"]


def test_large_file(server: CkanServer, token: str, full_size: bool) -> None:
    size = 1024 if full_size else 128
    server.upload(token, "small.bin", b"small")
    before = _peak_memory(server, reset=True)
    connection = _begin_upload(server, token, size)
    for _ in range(size):
        connection.send(bytes(MIB))
    connection.send(TAIL)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert _peak_memory(server) - before < 64 * MIB
    largest = max(_folder().iterdir(), key=lambda file: file.stat().st_size)
    assert largest.stat().st_size == size * MIB
    largest.unlink()


def test_client_goes_away(server: CkanServer, token: str, nothing_stays: None) -> None:
    connection = _begin_upload(server, token, 8)
    for _ in range(4):
        connection.send(bytes(MIB))
    connection.close()
    # the server has got to know when it answers somebody else
    assert server.action("status_show").ok


def test_server_is_killed(servers: CkanServers, token: str, nothing_stays: None) -> None:
    server = servers.start()
    connection = _begin_upload(server, token, 8)
    for _ in range(4):
        connection.send(bytes(MIB))
    server.kill()
    connection.close()


@pytest.fixture
def nothing_stays() -> Iterator[None]:
    before = _rows(), set(_folder().iterdir())
    yield
    time.sleep(1)
    assert (_rows(), set(_folder().iterdir())) == before


def _begin_upload(server: CkanServer, token: str, size: int) -> http.client.HTTPConnection:
    """Begin to upload a file of so many MiB."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=300)
    connection.putrequest("POST", "/api/action/file_create")
    connection.putheader("Authorization", token)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(HEAD) + size * MIB + len(TAIL)))
    connection.endheaders(HEAD)
    return connection


def _peak_memory(server: CkanServer, *, reset: bool = False) -> int:
    """Return the most memory that the server has used since the last reset, in bytes."""
    process = Path(f"/proc/{server.pid}")
    if reset:
        (process / "clear_refs").write_text("5")
    (line,) = (x for x in (process / "status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _folder() -> Path:
    return Path(config["ckan.files.storage.default.path"])


def _rows() -> int:
    with engine().connect() as connection:
        count = sa.select(sa.func.count()).select_from(file_table)
        return connection.execute(count).scalar() or 0
