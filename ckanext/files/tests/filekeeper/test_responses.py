"""Responses with files: the content is complete, and does no harm to the site."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import flask
import pytest
from file_keeper import FileData, Location, exc, make_upload

from ckanext.files import capabilities
from ckanext.files.tests.filekeeper.conftest import Make

INLINE = "ckan.files.inline_content_types"
HARMFUL = [
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
    "text/javascript",
    "application/pdf",
    "text/plain",
    "application/octet-stream",
    "",
]
KINDS = ["fs", "memory", "s3"]


@pytest.fixture(autouse=True)
def nothing_inline(ckan_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No type is shown inline."""
    monkeypatch.setitem(ckan_config, INLINE, [])


@pytest.mark.parametrize("content_type", HARMFUL)
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_attachments(make: Make, kind: str, content_type: str) -> None:
    response = _response(make(kind), content_type)
    assert _disposition(response) == "attachment"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if content_type:
        assert response.mimetype == content_type


@pytest.mark.parametrize("kind", KINDS)
def test_configured_types_are_inline(
    make: Make, kind: str, ckan_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make(kind)
    monkeypatch.setitem(ckan_config, INLINE, ["image/png", "text/plain"])
    assert _disposition(_response(storage, "image/png")) == "inline"
    for content_type in "image/svg+xml", "text/html", "image", "":
        assert _disposition(_response(storage, content_type)) == "attachment"
    monkeypatch.setitem(ckan_config, INLINE, ["*"])
    assert _disposition(_response(storage, "text/html")) == "inline"


def test_caller_can_ask_for_inline(make: Make) -> None:
    assert _disposition(_response(make("fs"), "text/html", send_inline=True)) == "inline"


@pytest.mark.parametrize("kind", KINDS)
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


def test_connection_is_released(make: Make) -> None:
    """Also when the client goes away."""
    storage = make("s3")
    data = storage.upload(Location("a"), make_upload(b"x" * 1_000_000))
    # a bucket's client has ten connections by default
    for _ in range(30):
        response = storage.as_response(data)
        next(response.iter_encoded())
        response.close()
    assert storage.exists(data)


def test_missing_file(storage: Any) -> None:
    assert storage.as_response(FileData(Location("a"))).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_storage_that_may_not_be_read(make: Make, kind: str) -> None:
    storage = make(kind, disabled_capabilities=["STREAM"])
    data = storage.upload(Location("a"), make_upload(b"x"))
    with pytest.raises(exc.UnsupportedOperationError):
        storage.as_response(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["a.txt", "ü ☃.txt", 'a"; filename=b.html', "a\\b", "a%20b.txt", "日本.csv", "a;b,c"]
)
def test_name_is_complete(make: Make, kind: str, name: str) -> None:
    header = _response(make(kind), "text/plain", name).headers["Content-Disposition"]
    header.encode("latin-1")
    assert unquote(header.rpartition("filename*=UTF-8''")[2]) == name
    quoted = header.partition('filename="')[2].partition("; filename*")[0]
    assert quoted.endswith('"')
    assert not set('"\\') & set(quoted[:-1])


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: b=c", "a\nb", "a\0b", "\x1b[2J"])
def test_name_adds_no_header(make: Make, name: str) -> None:
    response = _response(make("memory"), "text/plain", name)
    assert "Set-Cookie" not in response.headers
    assert response.headers["Content-Disposition"].isprintable()


def test_name_of_a_file_without_one(make: Make) -> None:
    header = _response(make("fs"), "text/plain").headers["Content-Disposition"]
    assert header == "attachment; filename=\"folder/a\"; filename*=UTF-8''folder%2Fa"


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


def _response(
    storage: Any, content_type: str, name: str | None = None, **options: Any
) -> flask.Response:
    data = storage.upload(Location("folder/a"), make_upload(b"<script>alert(1)</script>"))
    described = FileData.from_object(data, content_type=content_type)
    return storage.as_response(described, name, **options)


def _disposition(response: flask.Response) -> str:
    return response.headers["Content-Disposition"].partition(";")[0]
