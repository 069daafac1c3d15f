"""The last bytes of an upload make the file, or nothing."""

from __future__ import annotations

import base64
import io
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.tests import factories

from ckanext.files import capabilities
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import FileData, Location, get_storage, make_upload
from ckanext.files.tests.support.effects import change, look, rows
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus, answer_of
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import (
    fail_at_commit,
    folder_of,
    let_commit,
    new_client,
    spooled,
)
from ckanext.files.uploads import remove_expired, table
from ckanext.files.uploads.body import Body
from ckanext.files.uploads.errors import StorageFailsError
from ckanext.files.uploads.multipart import Multipart
from ckanext.files.uploads.receiving import Receiver
from ckanext.files.uploads.removal import remove_upload

STORAGES = pytest.mark.parametrize("storage", ["default", "folder", "cloud", "copied"])
OURS = pytest.mark.parametrize("storage", ["folder", "cloud"])
KNOWN = pytest.mark.parametrize("storage", ["folder", "cloud", "copied", "overwritten"])
"""Storages whose locations are in the rows of uploads."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file exists, no file of the name ``slow`` is made."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def server(app: Any, gate: Path, lasting_servers: CkanServers) -> CkanServer:
    """A portal with a plugin that looks at each file."""

    def look_before(_: Any, data_dict: dict[str, Any]) -> None:
        if data_dict["name"] == "unwanted":
            raise tk.ValidationError({"upload": ["It is not wanted"]})
        if data_dict["name"] == "slow":
            wait_at(gate)
        if data_dict["name"] == "scanned":
            scan(data_dict["upload"].stream, scanned_at(gate))

    def before() -> None:
        ProbePlugin.hooks["before:file_create"] = look_before
        ProbePlugin.hooks["after:file_create"] = look_after

    return lasting_servers.fork(app, before)


@pytest.fixture
def tus(server: CkanServer) -> Tus:
    return new_client(server)


def stored(storage: str) -> set[str]:
    return set(get_storage(storage).scan())


def look_after(_: Any, data_dict: dict[str, Any]) -> None:
    if data_dict["name"].startswith("virus"):
        raise tk.ValidationError({"upload": ["It is infected"]})
    if data_dict["name"].startswith("trap"):
        model.Session.commit()  # in the middle, as some plugins do
        raise RuntimeError("the plugin fails")
    fail_at_commit(data_dict["name"])


def scan(stream: Any, report: Path) -> None:
    report.write_text("an error")
    report.write_text(f"{len(stream.read())} bytes")
    stream.seek(0)


def wait_at(gate: Path) -> None:
    if gate.exists():
        held_at(gate).touch()
        wait_for(lambda: not gate.exists())
        held_at(gate).unlink()


def held_at(gate: Path) -> Path:
    """Return the file that exists while a request that makes a file waits."""
    return gate.with_suffix(".held")


def scanned_at(gate: Path) -> Path:
    """Return the file into which the plugin writes what it has read."""
    return gate.with_suffix(".scanned")


def row_of(url: str) -> Any:
    query = 'SELECT ROW(file_id, is_stored, "offset")::text FROM files_upload WHERE id = :id'
    return look(query, id=url.rpartition("/")[2])


@OURS
def test_two_finish_at_once(server: CkanServer, gate: Path, tus: Tus, storage: str) -> None:
    """While one makes the file, another one is asked to come again."""
    url = tus.begin(3, "slow", storage=storage)
    gate.touch()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(tus.patch, url, 0, b"123")
        wait_for(held_at(gate).exists)
        assert row_of(url) == "(,t,0)"
        try:
            assert tus.patch(url, 0, b"123").status_code == 423
            assert tus.send("DELETE", url).status_code == 423
            assert tus.offset(url) == 0
        finally:
            gate.unlink()
    assert first.result().status_code == 204
    assert tus.head(url).headers["File-Id"] == first.result().headers["File-Id"]
    assert call("file_owner_scan", tus.user)["count"] == 1


@STORAGES
def test_the_last_request_twice(gate: Path, tus: Tus, storage: str) -> None:
    """One still waits for its own bytes while the other one makes the file of the same bytes."""
    url = tus.begin(3, "slow", storage=storage)
    gate.touch()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(tus.patch, url, 0, b"123")
        try:
            wait_for(held_at(gate).exists)
            second = tus.open(url, 0, 3)
            second.sendall(b"1")
            time.sleep(1)  # until it has looked at the upload, which it does not write down
        finally:
            gate.unlink()
    file_id = first.result().headers["File-Id"]
    second.sendall(b"23")
    assert answer_of(second) == 204
    assert tus.head(url).headers["File-Id"] == file_id
    assert call("file_owner_scan", tus.user)["count"] == 1


@STORAGES
@pytest.mark.parametrize("name", ["virus", "trap", "unlucky"])
def test_refused_at_the_end(taken: None, tus: Tus, name: str, storage: str) -> None:
    """A plugin refuses the file, or the commit fails: no file, and no bytes once it is removed."""
    before = stored(storage)
    url = tus.begin(6, name, storage=storage)
    assert tus.patch(url, 0, b"123").status_code == 204
    answer = tus.patch(url, 3, b"456")
    if name == "virus":
        assert (answer.status_code, answer.json()["error"]["upload"]) == (400, ["It is infected"])
    else:
        assert answer.status_code == 500
    assert row_of(url) == "(,t,3)"
    assert tus.offset(url) == 3
    assert call("file_owner_scan", tus.user)["count"] == 0
    assert tus.send("DELETE", url).status_code == 204
    assert not spooled(url).exists()

    # with all bytes in the first request the client has no address: nothing is left for it
    uploads = look("SELECT count(*) FROM files_upload")
    assert tus.create(6, name, b"123456", storage=storage).status_code == answer.status_code
    assert look("SELECT count(*) FROM files_upload") == uploads
    if storage != "default" or not capabilities.CORE_FILES:
        assert stored(storage) == before


@KNOWN
def test_bytes_of_another_program(tus: Tus, storage: str) -> None:
    """What is at the location of a refused upload is not the upload's, and stays."""
    url = tus.begin(3, "unwanted", storage=storage)
    assert tus.patch(url, 0, b"123").status_code == 400
    location = look("SELECT location FROM files_upload WHERE id = :id", id=id_of(url))
    theirs = get_storage(storage).upload(location, make_upload(b"456"))
    assert tus.send("DELETE", url).status_code == 204
    assert get_storage(storage).content(theirs) == b"456"


def test_a_storage_that_does_not_remove(tus: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is told so, and the upload stays until its file can be removed."""
    url = tus.begin(3, "unwanted", storage="folder")
    assert tus.patch(url, 0, b"123").status_code == 400
    location = look("SELECT location FROM files_upload WHERE id = :id", id=id_of(url))
    place = folder_of("folder") / location
    place.hardlink_to(spooled(url))  # as a killed request leaves it
    with monkeypatch.context() as patch:
        patch.setattr(get_storage("folder"), "remove", _fail)
        with pytest.raises(StorageFailsError, match="Try again later"):
            remove_upload(id_of(url))
    assert tus.send("DELETE", url).status_code == 204
    assert not place.exists()


def _fail(*_: Any) -> None:
    raise OSError("Read-only file system")


@OURS
def test_finished_later(taken: None, tus: Tus, storage: str) -> None:
    """When the commit has failed, the same bytes become the file, where they still exist."""
    before, content = stored(storage), os.urandom(9_000_000)
    url = tus.begin(len(content), "unlucky", storage=storage)
    assert tus.patch(url, 0, content).status_code == 500
    let_commit()
    offset = tus.offset(url)
    assert offset < len(content)
    done = tus.patch(url, offset, content[offset:])
    if storage == "cloud" and not capabilities.CORE_FILES:
        # the backport has removed the object with the row
        assert done.status_code == 410
        assert tus.head(url).status_code == 404
        assert stored(storage) == before
        return
    assert tus.download(done.headers["File-Id"]) == content
    location = look(f"SELECT location FROM {file_table} WHERE id = :id", id=done.headers["File-Id"])
    assert stored(storage) == before | {location}


@OURS
def test_one_commit(tus: Tus, storage: str) -> None:
    """Row, owner and upload have one transaction."""
    url = tus.begin(3, storage=storage)
    file_id = tus.patch(url, 0, b"123").headers["File-Id"]
    id_ = url.rpartition("/")[2]
    file = look(f"SELECT xmin::text FROM {file_table} WHERE id = :id", id=file_id)
    assert file == look("SELECT xmin::text FROM files_upload WHERE id = :id", id=id_)


@pytest.mark.parametrize("end", ["files_transfer_ownership", "file_delete"])
def test_a_file_that_is_the_users_no_more(tus: Tus, end: str) -> None:
    """A client that has missed the end of the upload begins a new one, with a file of its own."""
    url = tus.begin(3)
    file_id = tus.patch(url, 0, b"123").headers["File-Id"]
    assert tus.head(url).headers["File-Id"] == file_id
    dataset = factories.Dataset()["id"]
    call(end, None, id=file_id, owner_type="package", owner_id=dataset)
    for answer in (tus.head(url), tus.patch(url, 3, b"")):
        assert answer.status_code == 410
        assert "File-Id" not in answer.headers
    assert tus.send("DELETE", url).status_code == 204


def test_no_copy_on_the_same_file_system(tus: Tus) -> None:
    url = tus.begin(6, storage="folder")
    tus.patch(url, 0, b"123")
    inode = spooled(url).stat().st_ino
    file_id = tus.patch(url, 3, b"456").headers["File-Id"]
    location = look(f"SELECT location FROM {file_table} WHERE id = :id", id=file_id)
    state = (folder_of("folder") / location).stat()
    assert (state.st_ino, state.st_nlink) == (inode, 1)
    assert state.st_mode & 0o777 == 0o666 & ~_umask()
    assert folder_of_spool(url).stat().st_mode & 0o777 == 0o700


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def folder_of_spool(url: str) -> Path:
    return spooled(url).parent


def test_bytes_that_are_lost(tus: Tus) -> None:
    """A folder that not all web servers share: the client has to begin again."""
    url = tus.begin(6, storage="folder")
    tus.patch(url, 0, b"123")
    spooled(url).unlink()
    answer = tus.patch(url, 3, b"456")
    assert (answer.status_code, "again" in answer.text) == (410, True)
    assert tus.head(url).status_code == 404


@pytest.mark.parametrize("storage", ["default", "folder"])
def test_a_folder_that_is_away(tus: Tus, storage: str) -> None:
    """The server of its file system does not answer: no upload ends, and all go on later."""
    started, expired = (tus.begin(6, storage=storage) for _ in range(2))
    for url in (started, expired):
        assert tus.patch(url, 0, b"123").status_code == 204
    change("UPDATE files_upload SET expires = now() WHERE id = :id", id=id_of(expired))
    folder = folder_of_spool(started)
    away = folder.rename(folder.with_name("away"))
    try:
        for answer in (tus.patch(started, 3, b"456"), tus.send("DELETE", started)):
            assert (answer.status_code, "Try again later" in answer.text) == (503, True)
        assert tus.offset(started) == 3
        assert (
            "Try again later" in {each.id: each.error for each in remove_expired()}[id_of(expired)]
        )
    finally:
        away.rename(folder)
    done = tus.patch(started, 3, b"456")
    assert tus.download(done.headers["File-Id"]) == b"123456"
    assert {each.id: each.error for each in remove_expired()}[id_of(expired)] == ""
    assert not spooled(expired).exists()


def test_parts_that_are_lost(tus: Tus) -> None:
    """The bucket removes what is not complete by a rule of its own, for example."""
    url = tus.begin(9_000_000, storage="cloud")
    tus.patch(url, 0, bytes(8_500_000))
    settings = get_storage("cloud").settings
    for each in uploads_in_bucket():
        settings.client.abort_multipart_upload(Bucket=settings.bucket, **each)
    answer = tus.patch(url, 8_500_000, bytes(500_000))
    assert (answer.status_code, "again" in answer.text) == (410, True)
    assert tus.head(url).status_code == 404


def uploads_in_bucket() -> list[dict[str, str]]:
    settings = get_storage("cloud").settings
    found = settings.client.list_multipart_uploads(Bucket=settings.bucket).get("Uploads", [])
    return [{name: each[name] for name in ("Key", "UploadId")} for each in found]


def test_two_uploads_of_one_location(tus: Tus) -> None:
    """What one announces while the other one has not committed is no stray of a killed request."""
    urls = [tus.begin(20_000_000, storage="cloud") for _ in range(2)]
    for url in urls:
        change("UPDATE files_upload SET location = 'same' WHERE id = :id", id=id_of(url))
    with table.transaction() as connection:
        first, second = (table.find_upload(connection, id_of(url)) for url in urls)
    with ThreadPoolExecutor(1) as thread:
        with table.transaction() as connection:
            Multipart(get_storage("cloud"), first).begin(connection, "text/plain")
            known = uploads_in_bucket()
            other = thread.submit(_begin, second)
            wait_for(lambda: other.done() or is_one_waiting())
        other.result()
    assert len(uploads_in_bucket()) == len(known) + 1
    for url in urls:
        assert tus.send("DELETE", url).status_code == 204


def is_one_waiting() -> bool:
    """Return whether a session of this database waits for a lock."""
    return look("""
        SELECT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock')
    """)


def _begin(upload: table.UploadRow) -> None:
    with table.transaction() as connection:
        Multipart(get_storage("cloud"), upload).begin(connection, "text/plain")


def id_of(url: str) -> str:
    return url.rpartition("/")[2]


def test_two_requests_have_read_the_upload(tus: Tus) -> None:
    """What the first one has announced to the bucket is removed before the second one does."""
    begun, content = uploads_in_bucket(), bytes(8 * 1024 * 1024)
    url = tus.begin(len(content) + 3, storage="cloud")
    with table.transaction() as connection:
        before = table.find_upload(connection, id_of(url))
    wrong = f"sha1 {base64.b64encode(bytes(20)).decode()}"
    assert tus.patch(url, 0, content, Upload_Checksum=wrong).status_code == 460
    assert len(uploads_in_bucket()) == len(begun) + 1
    Receiver(before, None).receive(Body(io.BytesIO(content)))
    assert tus.patch(url, len(content), b"123").status_code == 204
    assert uploads_in_bucket() == begun


def test_object_in_parts(tus: Tus) -> None:
    """Parts of 8 MiB, and the rest of them in PostgreSQL until there is more."""
    content = random.Random(1).randbytes(20_000_000)  # the type of other bytes may be any
    url = tus.begin(len(content), "a.bin", storage="cloud")
    before = uploads_in_bucket()
    for start in range(0, len(content), 7_000_000):
        assert tus.patch(url, start, content[start : start + 7_000_000]).status_code == 204
        if start == 7_000_000:
            [(parts, tail)] = look_at_parts(url)
            assert (len(parts["etags"]), tail) == (1, 14_000_000 - 8 * 1024 * 1024)
            assert len(uploads_in_bucket()) == len(before) + 1
    file_id = tus.head(url).headers["File-Id"]
    assert tus.download(file_id) == content
    assert uploads_in_bucket() == before
    assert look_at_parts(url) == [({}, 0)]
    location = look(f"SELECT location FROM {file_table} WHERE id = :id", id=file_id)
    storage = get_storage("cloud")
    assert storage.content(FileData(Location(location))) == content
    assert storage.analyze(Location(location)).content_type == "application/octet-stream"


def look_at_parts(url: str) -> list[Any]:
    query = """
        SELECT parts, COALESCE(sum(length(content)), 0) FROM files_upload
        LEFT JOIN files_upload_tail ON upload_id = id WHERE id = :id GROUP BY parts
    """
    return [tuple(row) for row in rows(query, id=url.rpartition("/")[2])]


@OURS
def test_removed_parts(tus: Tus, storage: str) -> None:
    before = uploads_in_bucket()
    url = tus.begin(30_000_000, storage=storage)
    tus.patch(url, 0, bytes(17_000_000))
    assert tus.send("DELETE", url).status_code == 204
    assert uploads_in_bucket() == before


@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_plugins_that_read_the_content(gate: Path, tus: Tus, storage: str) -> None:
    """They get the bytes, or an error where these are in the bucket: never an empty file."""
    answer = tus.patch(tus.begin(6, "scanned", storage=storage), 0, b"123456")
    assert answer.status_code == (204 if storage == "folder" else 400)
    assert scanned_at(gate).read_text() == ("6 bytes" if storage == "folder" else "an error")
