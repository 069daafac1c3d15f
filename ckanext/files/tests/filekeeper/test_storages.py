"""What every storage of file-keeper does."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import FileData, Location, Upload, exc, make_upload

from ckanext.files.filekeeper.adapters import adapters
from ckanext.files.tests.filekeeper.conftest import BASES, OURS, Make

OUTSIDE = ["../a", "a/../../b", "a/../b", "..", "/a", "/etc/passwd", "a\0b", "below/../../a"]


def test_adapters_whose_libraries_are_installed() -> None:
    found = adapters(BASES)
    assert {f"files:{name}" for name in OURS if name != "memory"} <= set(found)
    assert not set(found) & {"files:memory", "files:null", "files:proxy"}
    assert found == adapters(BASES)  # file-keeper registers them at every change of the options
    for name, adapter in found.items():
        assert issubclass(adapter, BASES.Storage), name
        assert issubclass(adapter.SettingsFactory, BASES.Settings), name
        assert adapter.__doc__, name


def test_stores_and_removes(storage: Any) -> None:
    content = os.urandom(200_000)
    data = storage.upload(Location("folder/a.bin"), make_upload(content))
    assert (data.location, data.size) == ("folder/a.bin", len(content))
    assert storage.exists(data)
    assert b"".join(storage.stream(data)) == storage.content(data) == content
    assert storage.analyze(data.location).size == len(content)
    assert list(storage.scan()) == ["folder/a.bin"]
    assert storage.remove(data)
    assert not storage.exists(data)
    assert not storage.remove(data)
    with pytest.raises(exc.MissingFileError):
        storage.content(data)
    empty = storage.upload(Location("a"), make_upload(b""))
    assert storage.exists(empty)
    assert storage.content(empty) == b""


@pytest.mark.parametrize("kind", OURS)
def test_uploads_that_are_refused(make: Make, kind: str) -> None:
    """A taken location, and a file that is too large, whatever size the client states."""
    storage = make(kind, overwrite_existing=False, max_size=10)
    data = storage.upload(Location("a"), make_upload(b"x" * 10))
    with pytest.raises(exc.ExistingFileError):
        storage.upload(Location("a"), make_upload(b"second"))
    for large in (
        make_upload(b"x" * 11),
        Upload(io.BytesIO(b"x" * 11), "b", 1, "text/plain"),
    ):
        with pytest.raises(exc.LargeUploadError):
            storage.upload(Location("b"), large)
    assert list(storage.scan()) == ["a"]
    assert storage.content(data) == b"x" * 10
    storage.validate_size(10)
    with pytest.raises(exc.LargeUploadError):
        storage.validate_size(11)

    storage.settings.overwrite_existing = True
    data = storage.upload(Location("a"), Upload(io.BytesIO(b"xy"), "a", 1, "text/plain"))
    assert (data.size, storage.content(data)) == (2, b"xy")


def test_limits_of_size_and_type(make: Make) -> None:
    make("memory", max_size=-1).validate_size(2**60)
    with pytest.raises(exc.LargeUploadError):
        make("memory", max_size=0).validate_size(1)
    storage = make("memory", supported_types=["text/csv", "image/png"])
    storage.upload(Location("a"), make_upload(b"a,b", "text/csv"))
    for content_type in "text/html", "text/csv; charset=utf-8", "text", "":
        with pytest.raises(exc.WrongUploadTypeError):
            storage.upload(Location("b"), Upload(io.BytesIO(b""), "b", 0, content_type))


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_hash_is_kept(make: Make, algorithm: str) -> None:
    data = make("fs", hashing_algorithm=algorithm).upload(Location("a"), make_upload(b"x"))
    reader = fk.HashingReader(io.BytesIO(b"x"), algorithm=algorithm)
    reader.exhaust()
    assert (data.algorithm, data.hash) == (algorithm, reader.get_hash())


def test_nothing_is_outside(storage: Any, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for place in map(Location, OUTSIDE):
        for attempt in (
            lambda place: storage.upload(place, make_upload(b"x")),
            lambda place: storage.content(FileData(place)),
            lambda place: storage.exists(FileData(place)),
            lambda place: storage.remove(FileData(place)),
            storage.analyze,
        ):
            with pytest.raises(exc.LocationError):
                attempt(place)
        assert sorted(tmp_path.rglob("*")) == before, place
        assert storage.as_response(FileData(place)).status_code == 404


def test_symbolic_links_on_local_disk_are_not_followed(make: Make, tmp_path: Path) -> None:
    storage = make("fs")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "files" / "link").symlink_to(secret)
    (tmp_path / "files" / "folder").symlink_to(tmp_path)
    for place in Location("link"), Location("folder/secret"):
        with pytest.raises(exc.LocationError):
            storage.content(FileData(place))
        with pytest.raises(exc.LocationError):
            storage.upload(place, make_upload(b"x"))
        assert storage.as_response(FileData(place)).status_code == 404
    assert secret.read_text() == "secret"


def test_local_folder_may_be_a_link_itself(make: Make, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    storage = make("fs", path=f"{tmp_path}/link/")
    data = storage.upload(Location("a"), make_upload(b"x"))
    assert (tmp_path / "real" / "a").read_text() == "x"
    assert storage.content(data) == b"x"


def test_local_folder_is_no_file(make: Make) -> None:
    storage = make("fs")
    storage.upload(Location("folder/a"), make_upload(b"x"))
    for place in Location(""), Location("."), Location("folder"):
        with pytest.raises(exc.LocationError):
            storage.upload(place, make_upload(b"x"))
        assert storage.as_response(FileData(place)).status_code == 404


@pytest.mark.parametrize("before", [b"old", None])
@pytest.mark.parametrize("failure", [OSError("disk is full"), KeyboardInterrupt()])
def test_failed_upload_to_local_disk(
    make: Make, tmp_path: Path, failure: BaseException, before: bytes | None
) -> None:
    storage, files = make("fs"), {} if before is None else {"a": before}
    for location, content in files.items():
        storage.upload(Location(location), make_upload(content))
    with pytest.raises(type(failure)):
        storage.upload(Location("a"), Upload(_Breaking(failure), "a", 3, "text/plain"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "files").iterdir()} == files


def test_missing_local_folder(make: Make, tmp_path: Path) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="does not exist"):
        make("fs", path=str(tmp_path / "missing"), initialize=False)
    assert not (tmp_path / "missing").exists()


def test_path_in_a_bucket_precedes_the_objects(make: Make) -> None:
    storage = make("s3", path="one/two")
    data = storage.upload(Location("a"), make_upload(b"x"))
    client, bucket = storage.settings.client, storage.settings.bucket
    keys = [item["Key"] for item in client.list_objects(Bucket=bucket)["Contents"]]
    assert keys == ["one/two/a"]
    storage.settings.path = "one/three"
    assert not storage.exists(data)


def test_bucket_that_cannot_be_used(make: Make) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="does not exist"):
        make("s3", initialize=False)
    with pytest.raises(exc.InvalidStorageConfigurationError, match="endpoint URL"):
        make("s3", endpoint="http://127.0.0.1:9", config={"retries": {"max_attempts": 0}})


class _Breaking(io.RawIOBase):
    """A stream that fails after its first bytes, and cannot be measured."""

    seek: Any = property()

    def __init__(self, failure: BaseException) -> None:
        super().__init__()
        self._answers: Iterator[bytes] = iter([b"x"])
        self._failure = failure

    def read(self, size: int = -1) -> bytes:
        for answer in self._answers:
            return answer
        raise self._failure
