"""The protocol tus 1.0, request by request: https://tus.io/protocols/resumable-upload."""

from __future__ import annotations

import base64
import hashlib
import os
import random
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.tus import BODY, Tus, metadata
from ckanext.files.tests.support.users import call
from ckanext.files.tests.uploads.conftest import spooled


@pytest.mark.parametrize("storage", ["default", "folder", "cloud"])
def test_upload_in_parts(tus: Tus, storage: str) -> None:
    content = random.Random(1).randbytes(300_000)  # the type of other bytes may be any
    url = tus.begin(len(content), "a.bin", storage=storage)
    parts = [content[start : start + 100_000] for start in range(0, len(content), 100_000)]
    answers = [tus.patch(url, tus.offset(url), part) for part in parts]
    assert [answer.status_code for answer in answers] == [204] * 3
    assert [answer.headers["Upload-Offset"] for answer in answers] == ["100000", "200000", "300000"]
    assert ["File-Id" in answer.headers for answer in answers] == [False, False, True]
    file_id = answers[-1].headers["File-Id"]
    assert tus.download(file_id) == content
    assert tus.head(url).headers["File-Id"] == file_id
    file = call("file_show", tus.user, id=file_id)
    assert (file["name"], file["size"], file["storage"]) == ("a.bin", 300_000, storage)
    assert file["content_type"] == "application/octet-stream"
    if storage != "cloud":  # a bucket has no hash of what it gets in parts
        assert file["hash"] == hashlib.md5(content).hexdigest()
    assert not spooled(url).exists()


def test_options(tus: Tus) -> None:
    answer = tus.send("OPTIONS", Tus_Resumable=None, Authorization=None)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    extensions = "creation,creation-with-upload,termination,expiration,checksum"
    assert answer.headers["Tus-Extension"] == extensions
    assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")
    # the storages of users have no common limit
    assert "Tus-Max-Size" not in answer.headers


def test_head_and_expiry(tus: Tus) -> None:
    url = tus.begin(10, "über.txt")
    answer = tus.head(url)
    assert answer.status_code == 200
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("0", "10")
    assert answer.headers["Upload-Metadata"] == metadata(filename="über.txt")
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    first = parsedate_to_datetime(answer.headers["Upload-Expires"])
    expire(tus, "now() + interval '1 hour'")
    soon = parsedate_to_datetime(tus.head(url).headers["Upload-Expires"])
    assert soon < first
    # bytes keep it alive
    later = parsedate_to_datetime(tus.patch(url, 0, b"12345").headers["Upload-Expires"])
    assert later >= first
    expire(tus)
    for answer in (tus.head(url), tus.patch(url, 5, b"67890"), tus.send("DELETE", url)):
        assert answer.status_code == 410


def expire(tus: Tus, at: str = "now()") -> None:
    """Let the uploads of a user expire at another time."""
    mine = 'user_id IN (SELECT id FROM "user" WHERE name = :name)'
    change(f"UPDATE files_upload SET expires = {at} WHERE {mine}", name=tus.user)


@pytest.mark.parametrize("storage", ["default", "folder", "cloud"])
def test_creation_with_upload(tus: Tus, storage: str) -> None:
    half = tus.create(10, "a.txt", b"12345", storage=storage)
    assert (half.status_code, half.headers["Upload-Offset"]) == (201, "5")
    assert "Upload-Expires" in half.headers
    done = tus.patch(half.headers["Location"], 5, b"67890")
    whole = tus.create(10, "b.txt", b"1234567890", storage=storage)
    empty = tus.create(0, "c.txt", storage=storage)
    assert (whole.status_code, empty.status_code) == (201, 201)
    for answer, content in ((done, b"1234567890"), (whole, b"1234567890"), (empty, b"")):
        assert answer.headers["Upload-Offset"] == str(len(content))
        assert tus.download(answer.headers["File-Id"]) == content


@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_checksums(tus: Tus, storage: str) -> None:
    """Nothing of a body with a wrong one counts."""
    # in the bucket, the body is more than one part
    content = os.urandom(9_000_000)
    url = tus.begin(len(content) + 3, "a.bin", storage=storage)
    wrong = tus.patch(url, 0, b"?" * len(content), Upload_Checksum=checksum(content))
    assert wrong.status_code == 460
    assert "checksum" in wrong.json()["error"]["upload"][0]
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, content, Upload_Checksum=checksum(content)).status_code == 204
    assert tus.patch(url, len(content), b"???", Upload_Checksum=checksum(b"end")).status_code == 460
    assert tus.offset(url) == len(content)
    done = tus.patch(url, len(content), b"end", Upload_Checksum=checksum(b"end", "sha256"))
    assert tus.download(done.headers["File-Id"]) == content + b"end"

    for header in ("crc32 AAAA", "sha1", "sha1 %%%", ""):
        answer = tus.patch(tus.begin(3), 0, b"end", Upload_Checksum=header)
        assert answer.status_code == (460 if header == "sha1" else 400), header
    before = look("SELECT count(*) FROM files_upload")
    assert tus.create(3, "a", b"???", Upload_Checksum=checksum(b"end")).status_code == 460
    assert tus.create(3, "a", b"end", Upload_Checksum="crc32 AAAA").status_code == 400
    assert tus.create(3, "a", b"{}", Content_Type="application/json").status_code == 415
    assert tus.create(3, "a", b"1234").status_code == 413
    assert look("SELECT count(*) FROM files_upload") == before


@pytest.mark.parametrize("storage", ["pictures", "cloud"])
def test_type_of_bytes_with_a_wrong_checksum(tus: Tus, storage: str) -> None:
    """Their type counts for nothing: it neither ends the upload nor is the type of the object."""
    content = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".ljust(9_000_000, b"\1")
    url, right = tus.begin(len(content), storage=storage), checksum(content)
    wrong = tus.patch(url, 0, b"%PDF-1.4".ljust(len(content)), Upload_Checksum=right)
    assert wrong.status_code == 460
    done = tus.patch(url, 0, content, Upload_Checksum=right)
    assert call("file_show", tus.user, id=done.headers["File-Id"])["content_type"] == "image/png"
    if storage == "cloud":
        assert type_in_bucket(url) == "image/png"
    else:  # the type of bytes with the right checksum is refused
        pdf = b"%PDF-1.4".ljust(5000)
        refused = tus.patch(tus.begin(5000, storage=storage), 0, pdf, Upload_Checksum=checksum(pdf))
        assert refused.status_code == 415


def type_in_bucket(url: str) -> str:
    query = "SELECT location FROM files_upload WHERE id = :id"
    location, storage = look(query, id=url.rpartition("/")[2]), get_storage("cloud")
    key, settings = storage.full_path(location), storage.settings
    return settings.client.head_object(Bucket=settings.bucket, Key=key)["ContentType"]


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_termination(tus: Tus, storage: str) -> None:
    url = tus.begin(10_000_000, "a.bin", storage=storage)
    assert tus.patch(url, 0, bytes(9_000_000)).status_code == 204
    assert spooled(url).exists() == (storage == "folder")
    answer = tus.send("DELETE", url)
    assert (answer.status_code, answer.text) == (204, "")
    for answer in (tus.head(url), tus.patch(url, 9_000_000, b"x"), tus.send("DELETE", url)):
        assert answer.status_code == 404
    assert not spooled(url).exists()

    # the end of a complete upload does not delete the file
    whole = tus.create(3, "a.txt", b"123", storage=storage)
    assert tus.send("DELETE", whole.headers["Location"]).status_code == 204
    assert tus.download(whole.headers["File-Id"]) == b"123"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Tus_Resumable": None}, 412),
        ({"Tus_Resumable": "0.2.2"}, 412),
        ({"Upload_Length": None}, 400),
        ({"Upload_Length": "-1"}, 400),
        ({"Upload_Length": "1e3"}, 400),
        ({"Upload_Length": "٣"}, 400),
        ({"Upload_Length": 2**63}, 400),
        ({"Upload_Length": "9" * 5000}, 400),
        ({"Upload_Length": None, "Upload_Defer_Length": 1}, 400),
        ({"Upload_Metadata": None}, 400),
        ({"Upload_Metadata": "filename"}, 400),
        ({"Upload_Metadata": "filename ?!"}, 400),
        ({"Upload_Metadata": "filename YS50eHQ=,filename YS50eHQ="}, 400),
        ({"Upload_Metadata": "filename //8="}, 400),  # no UTF-8
        ({"Upload_Metadata": metadata(filename="a\0.txt")}, 400),
        ({"Upload_Metadata": metadata(filename=" ")}, 400),
        ({"Upload_Metadata": metadata(filename="a" * 501)}, 400),
        ({"Upload_Metadata": metadata(filename="a.txt", more="a" * 4096)}, 400),
        ({"Upload_Metadata": metadata(filename="a.txt", storage="other")}, 403),
    ],
)
def test_creations_that_are_refused(tus: Tus, headers: dict[str, Any], status: int) -> None:
    given = {
        name: value if value is None else str(value).encode() for name, value in headers.items()
    }
    base: dict[str, Any] = {"Upload_Length": 3, "Upload_Metadata": metadata(filename="a.txt")}
    before = look("SELECT count(*) FROM files_upload")
    answer = _raw(tus, {**base, **given})
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error["success"] is False
    assert error["error"]["__type"] in ("Validation Error", "Authorization Error")
    assert error["error"]["upload"][0].strip()
    assert ("Tus-Version" in answer.headers) == (status == 412)
    assert look("SELECT count(*) FROM files_upload") == before


def _raw(tus: Tus, headers: dict[str, Any]) -> requests.Response:
    given: dict[str, Any] = {"Tus-Resumable": "1.0.0", "Authorization": tus.token}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {
        name: value if isinstance(value, bytes) else str(value)
        for name, value in given.items()
        if value is not None
    }
    return requests.post(tus.endpoint, headers=sent, timeout=60)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            b"filename YQ==,filename Yg==",
            "The header Upload-Metadata has filename twice: send it once",
        ),
        (b"filename ?!", "The value of filename in the header Upload-Metadata must be text"),
        (b"filename YQ==\0", "The header Upload-Metadata must be text without NUL"),
        (b"filename " + b"YWFh" * 167, "The name of the file has more than 500 characters"),
        (b"filename " + b"YWFh" * 1024, "Upload-Metadata has more than 4,096 characters"),
    ],
)
def test_words_about_metadata(tus: Tus, header: bytes, words: str) -> None:
    answer = _raw(tus, {"Upload_Length": 3, "Upload_Metadata": header})
    assert words in answer.json()["error"]["upload"][0]


def test_the_longest_name_is_the_title(tus: Tus) -> None:
    """Of any letters, with what a browser sends besides."""
    name = "🐟" * 496 + ".csv"
    more = {"storage": "folder", "fingerprint": "a" * 64, "form": "/dataset/new", "field": "a"}
    begun = tus.create(3, Upload_Metadata=metadata(filename=name, **more))
    assert begun.status_code == 201, begun.text
    assert tus.patch(begun.headers["Location"], 0, b"123").status_code == 204
    assert call("files_search", tus.user)["results"][0]["title"] == name


def test_parts_that_are_refused(tus: Tus) -> None:
    url = tus.begin(10)
    for status, answer in (
        (412, tus.patch(url, 0, b"12345", Tus_Resumable=None)),
        (415, tus.patch(url, 0, b"12345", Content_Type="application/octet-stream")),
        (415, tus.send("PATCH", url, None, Upload_Offset=0)),
        (400, tus.send("PATCH", url, b"12345")),
        (400, tus.patch(url, -1, b"12345")),
        (409, tus.patch(url, 1, b"12345")),
        (413, tus.patch(url, 0, b"12345678901")),
        (413, tus.patch(url, 0, iter([b"12345", b"678901"]))),  # chunked: without its length
        (405, tus.send("POST", url, b"", X_HTTP_Method_Override="PUT")),
        (405, tus.send("POST", url, b"")),
        (404, tus.patch("upload/unknown", 0, b"12345")),
        (404, tus.patch("upload/a%00b", 0, b"12345")),
    ):
        assert answer.status_code == status, (status, answer.text)
        assert answer.json()["success"] is False, answer.url
    assert tus.offset(url) == 0


def test_bodies_of_all_kinds(tus: Tus) -> None:
    url = tus.begin(10, "a.txt")
    assert tus.patch(url, 0, b"").headers["Upload-Offset"] == "0"
    assert tus.patch(url, 0, iter([b"12", b"3"])).headers["Upload-Offset"] == "3"  # chunked
    override = {"X_HTTP_Method_Override": "PATCH", "Upload_Offset": 3}
    assert tus.send("POST", url, b"4567", **override).headers["Upload-Offset"] == "7"
    assert tus.send("POST", url, X_HTTP_Method_Override="HEAD").headers["Upload-Offset"] == "7"
    done = tus.patch(url, 7, b"890", Content_Type=f"{BODY}; charset=utf-8")
    assert tus.download(done.headers["File-Id"]) == b"1234567890"
    # more is refused, nothing more is answered as the end
    assert tus.patch(url, 10, b"x").status_code == 413
    again = tus.patch(url, 10, b"")
    assert (again.status_code, again.headers["File-Id"]) == (204, done.headers["File-Id"])
