"""Responses with files: complete, without harm to the site, and not all in memory."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import flask
import pytest
from file_keeper import FileData, Location, exc, make_upload

from ckanext.files import capabilities
from ckanext.files.filekeeper.chunks import Chunks
from ckanext.files.filekeeper.safe import SafeReader
from ckanext.files.tests.filekeeper.conftest import Make
from ckanext.files.tests.support.memory import on_linux, peak, reset_peak

INLINE = "ckan.files.inline_content_types"
MIB = 1024 * 1024

each_kind = pytest.mark.parametrize("kind", ["fs", "memory", "s3"])


@pytest.fixture(autouse=True)
def nothing_inline(ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No type is shown inline."""
    monkeypatch.setitem(ckan_config, INLINE, [])


@each_kind
def test_files_are_attachments(make: Make, kind: str) -> None:
    storage = make(kind)
    for content_type in "text/html", "image/svg+xml", "application/pdf", "text/plain", "":
        response = _response(storage, content_type)
        assert _disposition(response) == "attachment"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.mimetype == content_type or not content_type


@each_kind
def test_types_that_are_shown_inline(
    make: Make, kind: str, ckan_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The types of the option, or the one that the caller asks for."""
    storage = make(kind)
    assert _disposition(_response(storage, "text/html", send_inline=True)) == "inline"
    monkeypatch.setitem(ckan_config, INLINE, ["image/png", "text/plain"])
    assert _disposition(_response(storage, "image/png")) == "inline"
    for content_type in "image/svg+xml", "text/html", "image", "":
        assert _disposition(_response(storage, content_type)) == "attachment"
    monkeypatch.setitem(ckan_config, INLINE, ["*"])
    assert _disposition(_response(storage, "text/html")) == "inline"


@each_kind
def test_content_is_sent(make: Make, kind: str) -> None:
    storage = make(kind)
    content = b"0123456789" * 100_000
    data = storage.upload(Location("a"), make_upload(content))
    response = storage.as_response(data)
    chunks = list(response.iter_encoded())
    assert b"".join(chunks) == content
    assert response.headers["Content-Length"] == str(len(content))
    if kind != "memory":
        assert max(map(len, chunks)) <= 64 * 1024


def test_connection_is_released_when_the_client_goes_away(make: Make) -> None:
    storage = make("s3")
    data = storage.upload(Location("a"), make_upload(b"x" * 1_000_000))
    # a bucket's client has ten connections by default
    for _ in range(30):
        response = storage.as_response(data)
        next(response.iter_encoded())
        response.close()
    assert storage.exists(data)


def test_connection_is_released_when_the_first_read_fails() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError("lost")

    reader, stream = SafeReader(), Broken()
    reader.storage = SimpleNamespace(stream=lambda _data: stream)
    with pytest.raises(OSError, match="lost"):
        reader.response(FileData(Location("a")), {})
    assert stream.closed


def test_a_stream_of_text_ends() -> None:
    """A plugin may have one: CKAN sends it."""
    assert list(Chunks(io.StringIO("text"), 3)) == ["tex", "t"]


def test_missing_file(storage: Any) -> None:
    assert storage.as_response(FileData(Location("a"))).status_code == 404


@each_kind
def test_disabled_capabilities(make: Make, kind: str) -> None:
    storage = make(kind, disabled_capabilities=["STREAM", "REMOVE"])
    data = storage.upload(Location("a"), make_upload(b"x"))
    for action in storage.as_response, storage.remove:
        with pytest.raises(exc.UnsupportedOperationError):
            action(data)


@each_kind
def test_name_is_complete(make: Make, kind: str) -> None:
    storage = make(kind)
    for name in "a.txt", "ü ☃.txt", 'a"; filename=b.html', "a\\b", "a%20b.txt", "日本.csv", "a;b,c":
        header = _response(storage, "text/plain", name).headers["Content-Disposition"]
        header.encode("latin-1")
        assert unquote(header.rpartition("filename*=UTF-8''")[2]) == name
        quoted = header.partition('filename="')[2].partition("; filename*")[0]
        assert quoted.endswith('"')
        assert not set('"\\') & set(quoted[:-1])
    header = _response(storage, "text/plain").headers["Content-Disposition"]
    assert header == "attachment; filename=\"folder/a\"; filename*=UTF-8''folder%2Fa"


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: b=c", "a\nb", "a\0b", "\x1b[2J"])
def test_name_adds_no_header(make: Make, name: str) -> None:
    response = _response(make("memory"), "text/plain", name)
    assert "Set-Cookie" not in response.headers
    assert response.headers["Content-Disposition"].isprintable()


def test_part_of_a_local_file(make: Make) -> None:
    storage = make("fs")
    data = storage.upload(Location("a"), make_upload(b"0123456789"))
    with flask.Flask(__name__).test_request_context(headers={"Range": "bytes=2-4"}):
        response = storage.as_response(data)
        assert (response.status_code, b"".join(response.iter_encoded())) == (206, b"234")
    with flask.Flask(__name__).test_request_context(
        headers={"If-None-Match": response.headers["ETag"]}
    ):
        response = storage.as_response(data)
        assert (response.status_code, _disposition(response)) == (304, "attachment")


@pytest.mark.skipif(not capabilities.CORE_FILES, reason="CKAN 2.11 has no storages of its own")
@pytest.mark.xfail(reason="CKAN 2.12.0 shows every file on local disk inline")
def test_core_sends_attachments(make: Make) -> None:
    assert _disposition(_response(make("ckan:fs"), "text/html")) == "attachment"


@on_linux
@pytest.mark.parametrize("kind", ["fs", "s3"])
def test_memory_for_a_large_file(make: Make, tmp_path: Path, full_size: bool, kind: str) -> None:
    """Uploads and responses keep only a small part of it."""
    size = 1024 * MIB if full_size else 128 * MIB
    storage = make(kind)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    with (tmp_path / "large").open("rb") as file:
        before = reset_peak()
        data = storage.upload(Location("a"), make_upload(file))
    assert peak() - before < 32 * MIB
    assert data.size == size

    before = reset_peak()
    response = storage.as_response(data)
    assert sum(map(len, response.iter_encoded())) == size
    response.close()
    assert peak() - before < 32 * MIB


def _response(
    storage: Any, content_type: str, name: str | None = None, **options: Any
) -> flask.Response:
    data = storage.upload(Location("folder/a"), make_upload(b"<script>alert(1)</script>"))
    described = FileData.from_object(data, content_type=content_type)
    return storage.as_response(described, name, **options)


def _disposition(response: flask.Response) -> str:
    return response.headers["Content-Disposition"].partition(";")[0]
