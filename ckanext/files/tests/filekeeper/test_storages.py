"""What every storage of file-keeper does."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import Capability, FileData, Location, Upload, exc, make_upload

from ckanext.files.filekeeper.adapters import adapters
from ckanext.files.tests.filekeeper.conftest import BASES, OURS, Make

OUTSIDE = ["../a", "a/../../b", "a/../b", "..", "/a", "/etc/passwd", "a\0b", "below/../../a"]


def test_adapters_whose_libraries_are_installed() -> None:
    names = set(adapters(BASES))
    assert {"files:fs", "files:redis", "files:s3", "files:sqlalchemy", "files:zip"} <= names
    assert not names & {"files:memory", "files:null", "files:proxy"}


def test_adapters_are_storages_of_ckan() -> None:
    for name, adapter in adapters(BASES).items():
        assert issubclass(adapter, BASES.Storage), name
        assert issubclass(adapter.SettingsFactory, BASES.Settings), name
        assert adapter.__doc__, name


def test_classes_stay_the_same() -> None:
    """file-keeper registers the adapters at every change of the configuration."""
    assert adapters(BASES) == adapters(BASES)


def test_stores_and_removes(storage: Any) -> None:
    content = os.urandom(200_000)
    data = storage.upload(Location("folder/a.bin"), make_upload(content))
    assert (data.location, data.size) == ("folder/a.bin", len(content))
    assert storage.exists(data)
    assert b"".join(storage.stream(data)) == content
    assert storage.content(data) == content
    assert storage.analyze(data.location).size == len(content)
    assert list(storage.scan()) == ["folder/a.bin"]
    assert storage.remove(data)
    assert not storage.exists(data)
    assert not storage.remove(data)
    with pytest.raises(exc.MissingFileError):
        storage.content(data)


def test_empty_file(storage: Any) -> None:
    data = storage.upload(Location("a"), make_upload(b""))
    assert storage.exists(data)
    assert storage.content(data) == b""


@pytest.mark.parametrize("kind", OURS)
def test_replaces_only_where_that_is_allowed(make: Make, kind: str) -> None:
    storage = make(kind, overwrite_existing=False)
    data = storage.upload(Location("a"), make_upload(b"first"))
    with pytest.raises(exc.ExistingFileError):
        storage.upload(Location("a"), make_upload(b"second"))
    assert storage.content(data) == b"first"
    storage.settings.overwrite_existing = True
    data = storage.upload(Location("a"), make_upload(b"third"))
    assert storage.content(data) == b"third"


@pytest.mark.parametrize("kind", OURS)
def test_size_is_limited(make: Make, kind: str) -> None:
    storage = make(kind, max_size=10)
    storage.upload(Location("a"), make_upload(b"x" * 10))
    with pytest.raises(exc.LargeUploadError):
        storage.upload(Location("b"), make_upload(b"x" * 11))
    assert list(storage.scan()) == ["a"]
    storage.validate_size(10)
    with pytest.raises(exc.LargeUploadError):
        storage.validate_size(11)


@pytest.mark.parametrize("kind", OURS)
def test_size_is_not_what_the_client_says(make: Make, kind: str) -> None:
    storage = make(kind, max_size=10)
    with pytest.raises(exc.LargeUploadError):
        storage.upload(Location("a"), Upload(io.BytesIO(b"x" * 11), "a", 1, "text/plain"))
    data = storage.upload(Location("b"), Upload(io.BytesIO(b"xy"), "b", 1, "text/plain"))
    assert data.size == 2


@pytest.mark.parametrize("kind", ["fs", "memory"])
def test_pipe(make: Make, kind: str) -> None:
    """Its size is unknown before its end."""
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = make(kind).upload(Location("a"), Upload(pipe, "a", 5, "text/plain"))
    assert data.size == 5


def test_size_without_limit(make: Make) -> None:
    make("memory", max_size=-1).validate_size(2**60)
    with pytest.raises(exc.LargeUploadError):
        make("memory", max_size=0).validate_size(1)


def test_type_is_limited(make: Make) -> None:
    storage = make("memory", supported_types=["text/csv", "image/png"])
    storage.upload(Location("a"), make_upload(b"a,b", "text/csv"))
    for content_type in "text/html", "text/csv; charset=utf-8", "text", "":
        with pytest.raises(exc.WrongUploadTypeError):
            storage.upload(Location("b"), Upload(io.BytesIO(b""), "b", 0, content_type))
    make("memory", supported_types=["*"]).validate_content_type("text/html")
    make("memory").validate_content_type("text/html")


def test_capabilities_can_be_disabled(make: Make) -> None:
    storage = make("memory", disabled_capabilities=["REMOVE"])
    data = storage.upload(Location("a"), make_upload(b"x"))
    assert storage.supports(Capability.STREAM)
    assert not storage.supports(Capability.REMOVE)
    with pytest.raises(exc.UnsupportedOperationError):
        storage.remove(data)


def test_locations_are_transformed(make: Make) -> None:
    storage = make("memory", location_transformers=["uuid4_with_extension"])
    assert storage.prepare_location("a.txt", make_upload(b"")).endswith(".txt")
    assert "a" not in storage.prepare_location("zzz.txt", make_upload(b"")).partition("zzz")[1]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_hash_is_kept(make: Make, algorithm: str) -> None:
    data = make("fs", hashing_algorithm=algorithm).upload(Location("a"), make_upload(b"x"))
    reader = fk.HashingReader(io.BytesIO(b"x"), algorithm=algorithm)
    reader.exhaust()
    assert (data.algorithm, data.hash) == (algorithm, reader.get_hash())


@pytest.mark.parametrize("location", OUTSIDE)
def test_nothing_is_outside(storage: Any, tmp_path: Path, location: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    place = Location(location)
    for attempt in (
        lambda: storage.upload(place, make_upload(b"x")),
        lambda: storage.content(FileData(place)),
        lambda: storage.exists(FileData(place)),
        lambda: storage.remove(FileData(place)),
        lambda: storage.analyze(place),
    ):
        with pytest.raises(exc.LocationError):
            attempt()
    assert sorted(tmp_path.rglob("*")) == before
    assert storage.as_response(FileData(place)).status_code == 404


class TestLocal:
    """Files on local disk."""

    def test_symbolic_links_are_not_followed(self, make: Make, tmp_path: Path) -> None:
        storage = make("fs")
        secret = tmp_path / "secret"
        secret.write_text("secret")
        (tmp_path / "files" / "link").symlink_to(secret)
        (tmp_path / "files" / "folder").symlink_to(tmp_path)
        for location in "link", "folder/secret":
            place = Location(location)
            with pytest.raises(exc.LocationError):
                storage.content(FileData(place))
            with pytest.raises(exc.LocationError):
                storage.upload(place, make_upload(b"x"))
            assert storage.as_response(FileData(place)).status_code == 404
        assert secret.read_text() == "secret"

    def test_folder_may_be_a_link_itself(self, make: Make, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        storage = make("fs", path=f"{tmp_path}/link/")
        data = storage.upload(Location("a"), make_upload(b"x"))
        assert (tmp_path / "real" / "a").read_text() == "x"
        assert storage.content(data) == b"x"

    @pytest.mark.parametrize("location", ["", ".", "folder"])
    def test_folder_is_no_file(self, make: Make, location: str) -> None:
        storage = make("fs")
        storage.upload(Location("folder/a"), make_upload(b"x"))
        with pytest.raises(exc.LocationError):
            storage.upload(Location(location), make_upload(b"x"))
        assert storage.as_response(FileData(Location(location))).status_code == 404

    @pytest.mark.parametrize("failure", [OSError("disk is full"), KeyboardInterrupt()])
    def test_failed_upload_leaves_nothing(
        self, make: Make, tmp_path: Path, failure: BaseException
    ) -> None:
        storage = make("fs")
        with pytest.raises(type(failure)):
            storage.upload(Location("a"), Upload(_Breaking(failure), "a", 3, "text/plain"))
        assert list((tmp_path / "files").iterdir()) == []

    def test_failed_upload_keeps_what_was_there(self, make: Make) -> None:
        storage = make("fs", overwrite_existing=True)
        data = storage.upload(Location("a"), make_upload(b"old"))
        with pytest.raises(OSError, match="broken"):
            storage.upload(
                data.location, Upload(_Breaking(OSError("broken")), "a", 3, "text/plain")
            )
        assert storage.content(data) == b"old"
        assert list(storage.scan()) == ["a"]

    def test_missing_folder(self, make: Make, tmp_path: Path) -> None:
        with pytest.raises(exc.InvalidStorageConfigurationError, match="does not exist"):
            make("fs", path=str(tmp_path / "missing"), initialize=False)
        assert not (tmp_path / "missing").exists()


class TestS3:
    """A bucket of objects."""

    def test_path_precedes_the_objects(self, make: Make) -> None:
        storage = make("s3", path="one/two")
        data = storage.upload(Location("a"), make_upload(b"x"))
        client, bucket = storage.settings.client, storage.settings.bucket
        keys = [item["Key"] for item in client.list_objects(Bucket=bucket)["Contents"]]
        assert keys == ["one/two/a"]
        storage.settings.path = "one/three"
        assert not storage.exists(data)

    def test_missing_bucket(self, make: Make) -> None:
        with pytest.raises(exc.InvalidStorageConfigurationError, match="does not exist"):
            make("s3", initialize=False)

    def test_server_does_not_answer(self, make: Make) -> None:
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
