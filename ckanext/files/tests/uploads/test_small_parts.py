"""Clients that send a file for a bucket in many small requests: each costs what it sends."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import call

KIB = 1024
PART = 8 * KIB * KIB
"""Of the bucket: what is less waits in PostgreSQL."""

TAIL = "files_upload_tail"
"""The table in which it waits."""


def send(tus: Tus, url: str, content: bytes, start: int, end: int, step: int) -> None:
    for position in range(start, end, step):
        part = content[position : min(position + step, end)]
        assert tus.patch(url, position, part).status_code == 204


@pytest.fixture
def no_vacuum() -> Iterator[None]:
    """What was written can be seen by the size of the tables."""
    options, tables = "autovacuum_enabled, toast.autovacuum_enabled", ("files_upload", TAIL)
    for table in tables:
        change(f"ALTER TABLE {table} SET ({options.replace(',', ' = off,')} = off)")
    yield
    for table in tables:
        change(f"ALTER TABLE {table} RESET ({options})")


def test_cost(no_vacuum: None, tus: Tus, full_size: bool, record_property: Any) -> None:
    """Bytes that wait are not written again, neither while a part fills up nor after it."""
    number = 2000 if full_size else 60
    half = number // 2 * KIB
    # the type of other bytes may be any
    content = random.Random(1).randbytes(PART + 2 * half)
    url = tus.begin(len(content), storage="cloud")
    send(tus, url, content, 0, PART - half, PART)
    before, start = size_of_tables(), time.monotonic()
    send(tus, url, content, PART - half, PART + half, KIB)
    record_property("seconds", time.monotonic() - start)
    record_property("written", written := size_of_tables() - before)
    # a row for each request, and a new version of the row of the upload
    assert written < number * 4 * KIB
    assert waiting(url) == half
    send(tus, url, content, PART + half, len(content), PART)
    assert tus.download(tus.head(url).headers["File-Id"]) == content
    assert waiting(url) == 0


def size_of_tables() -> int:
    """Return the bytes of all uploads in PostgreSQL, with those that were replaced."""
    sizes = "pg_total_relation_size('files_upload') + pg_total_relation_size(:tail)"
    return look(f"SELECT {sizes}", tail=TAIL)


def waiting(url: str) -> int:
    """Return how many bytes wait in PostgreSQL."""
    query = f"SELECT COALESCE(sum(length(content)), 0) FROM {TAIL} WHERE upload_id = :id"
    return look(query, id=url.rpartition("/")[2])


@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_type(tus: Tus, storage: str) -> None:
    """It is found in the first bytes of the file, not in the bytes of one request."""
    content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR".ljust(3000, b"\x01")
    url = tus.begin(len(content), "a.bin", storage=storage)
    send(tus, url, content, 0, 10, 1)
    send(tus, url, content, 10, len(content), 500)
    file = call("file_show", tus.user, id=tus.head(url).headers["File-Id"])
    assert (file["size"], file["content_type"]) == (3000, "image/png")


def test_removed(tus: Tus) -> None:
    """Nothing waits for an upload that is gone."""
    url = tus.begin(30, storage="cloud")
    send(tus, url, bytes(20), 0, 20, 5)
    assert waiting(url) == 20
    assert tus.send("DELETE", url).status_code == 204
    assert waiting(url) == 0
