"""Connections that break or hang, and requests that meet."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from ckanext.files.tests.support.effects import engine, rows
from ckanext.files.tests.support.server import CkanServers
from ckanext.files.tests.support.tus import Tus, answer_of
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import spooled, wait_for_writer
from ckanext.files.uploads import table

MIB = 1024 * 1024
STORAGES = pytest.mark.parametrize("storage", ["folder", "cloud"])


@STORAGES
def test_disconnect(tus: Tus, storage: str) -> None:
    """What has arrived counts, and the rest of it is asked for."""
    content = os.urandom(9 * MIB + 5)
    url = tus.begin(len(content), storage=storage)
    for end in (3 * MIB + 1, 3 * MIB + 2, 9 * MIB):
        start = tus.offset(url)
        connection = tus.open(url, start, len(content) - start)
        connection.sendall(content[start:end])
        connection.close()
        wait_for(lambda end=end: tus.offset(url) == end)
    done = tus.patch(url, 9 * MIB, content[9 * MIB :])
    assert tus.download(done.headers["File-Id"]) == content


def test_slow_client_has_its_bytes_counted(tus: Tus) -> None:
    """They are counted while the request goes on."""
    url = tus.begin(10**9)
    connection = tus.open(url, 0, 10**9)

    def send_some() -> bool:
        connection.sendall(bytes(10_000))
        return tus.offset(url) >= 100_000

    wait_for(send_some)
    connection.close()


@STORAGES
def test_new_request_takes_over(tus: Tus, storage: str) -> None:
    """A client that has lost its connection goes on at once, while the old request still hangs."""
    content = os.urandom(MIB)
    url = tus.begin(MIB, storage=storage)
    hanging = tus.open(url, 0, MIB)
    hanging.sendall(b"?" * 1000)
    wait_for_writer(url)
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, content[:-10]).status_code == 204
    # the old request wakes up, with other bytes; none of them gets anywhere
    hanging.sendall(b"?" * (MIB - 1000))
    assert answer_of(hanging) == 423
    assert tus.offset(url) == MIB - 10
    done = tus.patch(url, MIB - 10, content[-10:])
    assert tus.download(done.headers["File-Id"]) == content


def test_removed_while_a_request_sends(tus: Tus) -> None:
    url = tus.begin(10)
    hanging = tus.open(url, 0, 10)
    hanging.sendall(b"12345")
    wait_for_writer(url)
    assert tus.send("DELETE", url).status_code == 204
    hanging.sendall(b"67890")
    assert answer_of(hanging) == 423
    assert tus.head(url).status_code == 404
    assert not spooled(url).exists()


def test_no_transaction_while_bytes_arrive(tus: Tus) -> None:
    url = tus.begin(10)
    hanging = tus.open(url, 0, 10)
    hanging.sendall(b"12345")
    wait_for_writer(url)
    open_ones = """
        SELECT pid, query FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'
    """
    wait_for(lambda: rows(open_ones) == [])
    with engine().begin() as connection:  # no lock either
        connection.execute(sa.text("LOCK TABLE files_upload IN ACCESS EXCLUSIVE MODE NOWAIT"))
    hanging.sendall(b"67890")
    assert answer_of(hanging) == 204


def test_answer_to_a_fast_client(tus: Tus) -> None:
    """It gets its answer, although none of its bytes is wanted."""
    start = time.monotonic()
    assert tus.patch("upload/unknown", 0, bytes(30 * MIB)).status_code == 404
    assert time.monotonic() - start < 30


@STORAGES
def test_race(tus: Tus, storage: str) -> None:
    """Many requests send the same bytes at once; there is one file, and it is whole."""
    content = os.urandom(5 * MIB)
    url = tus.begin(len(content), storage=storage)
    with ThreadPoolExecutor(6) as threads:
        answers = [
            each.result() for each in [threads.submit(tus.patch, url, 0, content) for _ in range(6)]
        ]
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {204, 409, 423}, [answer.text for answer in answers]
    file_id = wait_for(lambda: _finished(tus, url, content))
    assert tus.download(file_id) == content
    found = {answer.headers.get("File-Id") for answer in answers} - {None}
    assert found <= {file_id}
    assert call("file_owner_scan", tus.user)["count"] == 1


def _finished(tus: Tus, url: str, content: bytes) -> str | None:
    """Continue an upload as a client does, until it has become a file."""
    answer = tus.head(url)
    if "File-Id" not in answer.headers:
        offset = int(answer.headers["Upload-Offset"])
        tus.patch(url, offset, content[offset:])
    return answer.headers.get("File-Id")


def test_several_web_servers(app: Any, tus: Tus, lasting_servers: CkanServers) -> None:
    """One of them begins, another one goes on, the first one has the last bytes."""
    other = Tus(lasting_servers.fork(app).url, tus.user, tus.token)
    for storage in ("folder", "cloud"):
        url = tus.begin(9, storage=storage)
        assert tus.patch(url, 0, b"123").status_code == 204
        assert other.patch(url, 3, b"456").status_code == 204
        done = tus.patch(url, 6, b"789")
        assert other.download(done.headers["File-Id"]) == b"123456789"


def test_lock_of_another_request(tus: Tus) -> None:
    url = tus.begin(3)
    with engine().begin() as connection:
        table.lock_upload(connection, url.rpartition("/")[2])
        answer = tus.send("DELETE", url)
    assert (answer.status_code, "Try again" in answer.text) == (423, True)
    assert tus.send("DELETE", url).status_code == 204
