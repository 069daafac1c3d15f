"""kill -9 while a file is uploaded: a whole file with its row, or nothing but an upload."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from typing import Any, NamedTuple

import pytest
import requests
import sqlalchemy as sa

from ckanext.files.store.models import file_table
from ckanext.files.store.storages import FileData, Location, get_storage
from ckanext.files.tests.support.effects import engine, rows
from ckanext.files.tests.support.memory import peak, reset_peak
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.tests.uploads.conftest import spooled
from ckanext.files.tests.uploads.test_finishing import uploads_in_bucket
from ckanext.files.uploads.table import upload_table

pytestmark = pytest.mark.crash

MIB = 1024 * 1024
KILLS = {"folder": 3, "cloud": 3, "default": 2}
"""At full size twelve times as many, which is 96, and four more."""

COPIES = {"folder": False, "cloud": False, "default": True}
"""Whether complete bytes are copied into the storage: a kill leaves strays, as at any upload."""


class Sent(NamedTuple):
    """An upload by a client that knows no better than the server."""

    url: str
    content: bytes


@pytest.fixture(autouse=True)
def server_runs(server: CkanServer) -> None:
    """Also after a test that has failed."""
    if not server.running:
        server.start()


@pytest.mark.parametrize("storage", KILLS)
def test_kills_at_any_time(
    server: CkanServer, tus: Tus, storage: str, full_size: bool, record_property: Any
) -> None:
    seconds = _time_of_upload(tus, storage)
    kills = KILLS[storage] * 12 + 2 if full_size else KILLS[storage]
    clean, parts, finished = stored(storage), uploads_in_bucket(), 0
    for number in range(kills):
        sent = _begin(tus, storage)
        client = threading.Thread(target=_send, args=(tus, sent))
        client.start()
        # spread over the time of an upload, and a little longer
        time.sleep(seconds * 1.2 * (number + random.random()) / kills)
        server.kill()
        client.join()
        wait_for_the_dead()
        finished += _check(tus, sent, storage, clean)
        server.start()
        file_id = _finish(tus, sent)
        assert tus.download(file_id) == sent.content
        clean.add(_location(file_id))
        if not COPIES[storage]:
            assert stored(storage) == clean
        # a kill right after the commit leaves the bytes in the spool until the upload is ended
        assert tus.send("DELETE", sent.url).status_code == 204
        assert not spooled(sent.url).exists()
        assert tus.download(file_id) == sent.content
    assert uploads_in_bucket() == parts
    record_property("kills", kills)
    record_property("finished before the kill", finished)


def _time_of_upload(tus: Tus, storage: str) -> float:
    sent, start = _begin(tus, storage), time.monotonic()
    _send(tus, sent)
    return time.monotonic() - start


def _begin(tus: Tus, storage: str) -> Sent:
    content = os.urandom(10 * MIB + 3)
    return Sent(tus.begin(len(content), storage=storage), content)


def _send(tus: Tus, sent: Sent) -> None:
    """Send all parts, until the connection is lost."""
    size = 3 * MIB
    try:
        for start in range(0, len(sent.content), size):
            tus.patch(sent.url, start, sent.content[start : start + size])
    except requests.ConnectionError:
        return


def _check(tus: Tus, sent: Sent, storage: str, clean: set[str]) -> bool:
    """Look at the database and the storage while no server runs; return if there is a file."""
    upload = row_of(sent.url)
    files = call("file_owner_scan", tus.user, rows=1000)["results"]
    mine = [file for file in files if file["location"] not in clean and file["storage"] == storage]
    if upload.file_id is None:
        assert mine == []
        assert upload.offset < upload.size
        left = {upload.location} if upload.is_stored else set()
    else:
        [file] = mine
        assert (file["id"], upload.offset) == (upload.file_id, upload.size)
        digest = hashlib.sha256()
        for chunk in get_storage(storage).stream(_data(file)):
            digest.update(chunk)
        assert digest.digest() == hashlib.sha256(sent.content).digest()
        left = {file["location"]}
    if not COPIES[storage]:
        assert stored(storage) - clean <= left
    return bool(mine)


def row_of(url: str) -> Any:
    query = sa.select(upload_table).where(upload_table.c.id == url.rpartition("/")[2])
    with engine().connect() as connection:
        return connection.execute(query).one()


def _data(file: dict[str, Any]) -> Any:
    return FileData(Location(file["location"]), size=file["size"])


def _finish(tus: Tus, sent: Sent) -> str:
    """Resume as a client does."""
    answer = tus.head(sent.url)
    if "File-Id" not in answer.headers:
        offset = int(answer.headers["Upload-Offset"])
        answer = tus.patch(sent.url, offset, sent.content[offset:])
        assert answer.status_code == 204, answer.text
    return answer.headers["File-Id"]


def stored(storage: str) -> set[str]:
    return set(map(str, get_storage(storage).scan()))


def _location(file_id: str) -> str:
    [(location,)] = rows(f"SELECT location FROM {file_table} WHERE id = :id", id=file_id)
    return location


@pytest.mark.parametrize("storage", ["folder", "default", "cloud"])
def test_large_file(
    server: CkanServer, tus: Tus, storage: str, full_size: bool, record_property: Any
) -> None:
    """Paused, the server killed in the middle, resumed: the same bytes, in constant memory."""
    size = (1024 if full_size else 96) * MIB
    block = os.urandom(MIB)
    url = tus.begin(size, storage=storage)
    tus.upload(b"small", storage=storage)
    grown = [_sent_until(tus, server, url, block, size // 3)]  # the client pauses
    grown.append(_sent_until(tus, server, url, block, size // 3 * 2))
    connection = tus.open(url, offset := tus.offset(url), size - offset)
    for _ in range(4):
        connection.sendall(block)
    server.kill()
    connection.close()
    wait_for_the_dead()
    server.start()
    tus.upload(b"small", storage=storage)
    grown.append(_sent_until(tus, server, url, block, size))
    file_id = tus.head(url).headers["File-Id"]
    expected = hashlib.sha256()
    for _ in range(size // MIB):
        expected.update(block)
    assert _digest(tus, file_id) == expected.hexdigest()
    record_property("memory", grown)
    assert max(grown) < 64 * MIB, grown


def _sent_until(tus: Tus, server: CkanServer, url: str, block: bytes, end: int) -> int:
    """Send bytes until a position; return how much memory the server has used for them."""
    before, start = reset_peak(server.pid), tus.offset(url)

    def content() -> Any:
        position = start
        while position < end:
            part = block[position % MIB : position % MIB + end - position]
            yield part
            position += len(part)

    answer = tus.patch(url, start, content())
    assert answer.status_code == 204, answer.text
    return peak(server.pid) - before


def _digest(tus: Tus, file_id: str) -> str:
    digest = hashlib.sha256()
    with requests.get(
        f"{tus.site}/file/download/{file_id}",
        headers={"Authorization": tus.token},
        stream=True,
        timeout=60,
    ) as answer:
        for chunk in answer.iter_content(MIB):
            digest.update(chunk)
    return digest.hexdigest()
