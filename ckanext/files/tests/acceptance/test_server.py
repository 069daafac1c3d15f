"""A real server over HTTP: uploads of any size and end, and a connection that is cut."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa
from ckan.common import config
from ckan.tests import factories

from ckanext.files.store.models import file_table
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.memory import on_linux, peak, reset_peak
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for, wait_for_a_lock, wait_for_the_dead

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
def app(loaded: Any) -> Any:
    return loaded()


@pytest.fixture(scope="module")
def server(app: Any, lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.fork(app)


@pytest.fixture(scope="module")
def token(loaded: None) -> str:
    return factories.APIToken(user=new_user(sysadmin=True))["token"]


@on_linux
def test_large_file(server: CkanServer, token: str, full_size: bool) -> None:
    size = 1024 if full_size else 128
    server.upload(token, "small.bin", b"small")
    before = reset_peak(server.pid)
    connection = _begin_upload(server, token, size)
    for _ in range(size):
        connection.send(bytes(MIB))
    connection.send(TAIL)
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    assert peak(server.pid) - before < 64 * MIB
    file = answer["result"]
    assert (_folder() / file["location"]).stat().st_size == size * MIB
    assert server.action("file_delete", token, id=file["id"]).status_code == 200


@pytest.mark.parametrize("killed", [False, True], ids=["client goes away", "server is killed"])
def test_upload_breaks_off(server: CkanServer, token: str, killed: bool) -> None:
    """Nothing stays of it."""
    before, threads = (_rows(), set(_folder().iterdir())), _threads(server)
    connection = _begin_upload(server, token, 8)
    for _ in range(4):
        connection.send(bytes(MIB))
    wait_for(lambda: _threads(server) > threads)  # one reads it
    if killed:
        server.kill()
    connection.close()
    if killed:
        wait_for_the_dead()
        server.start()
    else:
        wait_for(lambda: _threads(server) == threads)
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


def _threads(server: CkanServer) -> int:
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


def _folder() -> Path:
    return Path(config["ckan.files.storage.default.path"])


def _rows() -> int:
    return look(f"SELECT count(*) FROM {file_table}")


@pytest.mark.parametrize("what", ["page", "action"])
def test_requests_after_a_cut_connection(
    servers: CkanServers, app: Any, token: str, what: str
) -> None:
    """The next requests work, although one thread answers all.

    Without the plugin all of them get HTTP 500, on CKAN 2.12.0 and 2.11.6.
    """
    dataset = factories.Dataset(title="before")
    server = servers.fork(app, threaded=False)
    statuses: list[int] = []
    waiting = (
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def show() -> int:
        address = f"{server.url}/dataset/{dataset['name']}"
        return requests.get(address, headers={"Authorization": token}, timeout=60).status_code

    def patch() -> int:
        return server.action("package_patch", token, id=dataset["id"], title="after").status_code

    assert show() == 200
    with engine().begin() as connection:
        connection.execute(sa.text("LOCK TABLE package IN ACCESS EXCLUSIVE MODE"))
        do = show if what == "page" else patch
        thread = threading.Thread(target=lambda: statuses.append(do()))
        thread.start()
        wait_for_a_lock()
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) {waiting}"))
    thread.join(60)
    assert statuses == [500]
    assert [show(), show(), show(), patch()] == [200] * 4
