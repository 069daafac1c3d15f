"""Uploads that have expired are removed with their bytes, and nothing else is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from ckan.common import config

from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.effects import at_each_begin, change, look
from ckanext.files.tests.support.tus import Tus, answer_of
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import spooled, wait_for_writer
from ckanext.files.tests.uploads.test_finishing import uploads_in_bucket
from ckanext.files.tests.uploads.test_protocol import checksum
from ckanext.files.uploads import remove_expired
from ckanext.files.uploads.errors import UploadBusyError
from ckanext.files.uploads.table import find_upload, transaction
from ckanext.files.uploads.writer import Writer


@pytest.fixture(autouse=True)
def none_has_expired() -> None:
    change("UPDATE files_upload SET expires = now() + interval '1 day'")


def expire(*urls: str) -> None:
    for url in urls:
        change("UPDATE files_upload SET expires = now() WHERE id = :id", id=id_of(url))


def exists(url: str) -> bool:
    query = "SELECT EXISTS (SELECT FROM files_upload WHERE id = :id)"
    return look(query, id=id_of(url))


def id_of(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.fixture
def urls(tus: Tus) -> dict[str, str]:
    """Uploads of all kinds."""
    found = {storage: tus.begin(20_000_000, storage=storage) for storage in ("folder", "cloud")}
    for url in found.values():
        assert tus.patch(url, 0, bytes(9_000_000)).status_code == 204
    finished = tus.create(3, "a.txt", b"123").headers["Location"]
    return {**found, "finished": finished, "empty": tus.begin(5), "kept": tus.begin(5)}


def test_removal(tus: Tus, urls: dict[str, str]) -> None:
    file_id = tus.head(urls["finished"]).headers["File-Id"]
    kept, parts = urls.pop("kept"), uploads_in_bucket()
    tus.patch(kept, 0, b"123")
    expire(*urls.values())
    assert {(each.was_finished, each.error) for each in remove_expired()} == {
        (False, ""),
        (True, ""),
    }
    assert not any(map(exists, urls.values()))
    assert not spooled(urls["folder"]).exists()
    assert len(uploads_in_bucket()) == len(parts) - 1
    assert tus.download(file_id) == b"123"
    assert tus.offset(kept) == 3
    assert [tus.head(url).status_code for url in urls.values()] == [404] * 4


def test_new_uploads_remove_a_few(tus: Tus) -> None:
    old = [tus.begin(5) for _ in range(5)]
    expire(*old)
    tus.begin(5)
    assert sum(map(exists, old)) == 2
    tus.begin(5)
    assert sum(map(exists, old)) == 0


def test_new_uploads_remove_what_can_be_removed(tus: Tus) -> None:
    """However many others cannot be removed."""
    bad, good = [tus.begin(5) for _ in range(3)], [tus.begin(5) for _ in range(3)]
    for url in bad:
        change("UPDATE files_upload SET storage = 'gone' WHERE id = :id", id=id_of(url))
    expire(*bad, *good)
    try:
        for _ in range(60):
            tus.begin(5)
        assert [*map(exists, bad), *map(exists, good)] == [True] * 3 + [False] * 3
    finally:
        change("DELETE FROM files_upload WHERE storage = 'gone'")


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_bytes_that_arrive_for_longer(tus: Tus, storage: str, checked: bool) -> None:
    """No upload expires while its bytes are stored, however long ago the request has begun."""
    content = bytes(9 * 1024 * 1024)
    url = tus.begin(len(content), storage=storage)
    header = f"Upload-Checksum: {checksum(content)}\r\n" if checked else ""
    with tus.open(url, 0, len(content), header) as connection:
        wait_for_writer(url)
        expire(url)
        connection.sendall(content[:-1])
        is_alive = "SELECT expires > now() FROM files_upload WHERE id = :id"
        wait_for(lambda: look(is_alive, id=id_of(url)))
        assert list(remove_expired()) == []
        connection.sendall(content[-1:])
        assert answer_of(connection) == 204
    assert "File-Id" in tus.head(url).headers


def test_client_that_goes_on_at_the_last_moment(tus: Tus) -> None:
    """It either has the upload again or learns that it is gone, whenever the removal looks."""
    url = tus.begin(5)
    with transaction() as connection:
        upload = find_upload(connection, id_of(url))
    expire(url)
    outcomes: list[bool] = []

    def go_on() -> None:
        if len(outcomes) == 1:  # something has been looked at
            with suppress(UploadBusyError):
                Writer(upload)
                outcomes.append(True)
                return
        outcomes.append(False)

    with at_each_begin(go_on):
        list(remove_expired())
    assert len(outcomes) > 1
    assert exists(url) == any(outcomes)


def test_command(tus: Tus, urls: dict[str, str], monkeypatch: Any) -> None:
    assert run("expire-uploads") == (0, "0 uploads removed, 0 of them unfinished\n")
    expire(urls["cloud"], urls["finished"], urls["empty"])

    # a bucket that does not answer stops none of the others
    storage = get_storage("cloud")
    with monkeypatch.context() as patch:
        client = storage.settings.client
        patch.setattr(client, "abort_multipart_upload", _fail)
        code, said = run("expire-uploads")
    assert code == 1
    assert "2 uploads removed, 1 of them unfinished" in said
    assert f"{urls['cloud'].rpartition('/')[2]}: The storage has a problem" in said
    assert exists(urls["cloud"])
    assert run("expire-uploads") == (0, "1 uploads removed, 1 of them unfinished\n")
    assert not exists(urls["cloud"])


def _fail(**_: Any) -> None:
    raise OSError("no route to host")


def test_storage_that_is_gone(tus: Tus, urls: dict[str, str], monkeypatch: Any) -> None:
    """The upload stays, with a warning, until the storage is configured again."""
    expire(urls["folder"])
    with monkeypatch.context() as patch:
        patch.delitem(config, "ckan.files.storage.folder.type")
        patch.setattr(storages, "get", lambda name: None)
        [left] = remove_expired()
    assert "folder" in left.error
    assert exists(urls["folder"])
    assert [each.error for each in remove_expired()] == [""]


def test_bytes_without_an_upload(tus: Tus) -> None:
    """Their row was lost: nothing removes them, and ``check`` lists them."""
    lost, kept = (tus.begin(5, storage="folder") for _ in range(2))
    for url in (lost, kept):
        assert tus.patch(url, 0, b"123").status_code == 204
    change("DELETE FROM files_upload WHERE id = :id", id=id_of(lost))
    code, said = run("check")
    assert code == 1
    assert f"spool\t{spooled(lost)}\n" in said
    assert str(spooled(kept)) not in said
    spooled(lost).unlink()
    assert "Bytes without an upload: 0" in run("check")[1]
    assert "Bytes without an upload" not in run("check", "folder")[1]
