"""Two users upload files of one name at once, into storages that keep names."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from ckan import model

from ckanext.files import capabilities
from ckanext.files.filekeeper import locations
from ckanext.files.store.storages import get_storage, make_upload
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.races import busy_location
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import fail_at_commit, let_commit, new_client
from ckanext.files.tests.uploads.test_finishing import is_one_waiting

STORAGES = pytest.mark.parametrize("storage", ["named", "default", "cloud"])
ROUNDS = pytest.mark.parametrize("round_", range(4))

CONTENTS = [bytes([letter]) * 8_000_000 for letter in b"AB"]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file exists, the first file of the name ``held.txt`` waits with its row."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def server(app: Any, gate: Path, lasting_servers: CkanServers) -> CkanServer:
    """A portal with storages as CKAN has them by default: they keep names and overwrite bytes."""
    held = gate.with_suffix(".held")

    def look_after(_: Any, data_dict: dict[str, Any]) -> None:
        if data_dict.get("name") == "held.txt" and gate.exists() and not held.exists():
            model.Session.flush()
            held.touch()
            wait_for(lambda: not gate.exists())
        fail_at_commit(data_dict.get("name", ""))

    def before() -> None:
        for name in ("named", "default", "cloud"):
            settings = get_storage(name).settings
            settings.overwrite_existing, settings.location_transformers = True, []
        ProbePlugin.hooks["after:file_create"] = look_after

    return lasting_servers.fork(app, before)


@pytest.fixture(scope="module")
def impatient(app: Any, lasting_servers: CkanServers) -> CkanServer:
    """A portal that does not wait for the location of a file."""
    return lasting_servers.fork(app, lambda: setattr(locations, "PATIENCE", 0.1))


@pytest.fixture
def both(server: CkanServer) -> list[Tus]:
    return [new_client(server), new_client(server)]


@ROUNDS
@STORAGES
def test_resumable_uploads(storage: str, round_: int, both: list[Tus]) -> None:
    name = f"Resumed {round_}.bin"
    urls = [each.begin(len(CONTENTS[0]), name, storage=storage) for each in both]
    with ThreadPoolExecutor(2) as threads:
        patches = [each.patch for each in both]
        answers = [*threads.map(lambda patch, *args: patch(*args), patches, urls, (0, 0), CONTENTS)]
    assert sorted(answer.status_code for answer in answers) == [204, 400]
    kept = [answer.status_code for answer in answers].index(204)
    assert "File already exists" in answers[1 - kept].text
    assert both[1 - kept].send("DELETE", urls[1 - kept]).status_code == 204
    # also after the refused upload was discarded, with its bytes
    assert both[kept].download(answers[kept].headers["File-Id"]) == CONTENTS[kept]


@ROUNDS
@STORAGES
def test_plain_uploads(storage: str, round_: int, both: list[Tus]) -> None:
    def send(client: Tus, content: bytes) -> requests.Response:
        return requests.post(
            f"{client.site}/api/action/file_create",
            data={"storage": storage},
            files={"upload": (f"Plain {round_}.bin", content)},
            headers={"Authorization": client.token},
            timeout=60,
        )

    with ThreadPoolExecutor(2) as threads:
        answers = [*threads.map(send, both, CONTENTS)]
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    for client, answer, content in zip(both, answers, CONTENTS, strict=True):
        if answer.status_code == 200:
            assert client.download(answer.json()["result"]["id"]) == content
        else:
            assert answer.json()["error"]["upload"] == ["File already exists"]


@STORAGES
def test_the_second_waits_for_the_row_of_the_first(
    storage: str, both: list[Tus], gate: Path
) -> None:
    urls = [each.begin(3, "held.txt", storage=storage) for each in both]
    held = gate.with_suffix(".held")
    held.unlink(missing_ok=True)
    gate.touch()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(both[0].patch, urls[0], 0, b"111")
        wait_for(held.exists)
        second = threads.submit(both[1].patch, urls[1], 0, b"222")
        time.sleep(1)
        assert not second.done()
        gate.unlink()
    assert (first.result().status_code, second.result().status_code) == (204, 400)
    assert both[0].download(first.result().headers["File-Id"]) == b"111"


@pytest.mark.skipif(not capabilities.CORE_FILES, reason="the backport removes the object at once")
@pytest.mark.parametrize("size", [3, 4])
def test_an_object_of_another_user(taken: None, both: list[Tus], size: int) -> None:
    """Both commits have failed, and the bucket has the bytes of the second user only."""
    urls = [
        each.begin(length, f"unlucky {size}.bin", storage="cloud")
        for each, length in zip(both, (3, size), strict=True)
    ]
    assert both[0].patch(urls[0], 0, b"111").status_code == 500
    assert both[1].patch(urls[1], 0, b"2" * size).status_code == 500
    let_commit()
    lost = both[0].patch(urls[0], 0, b"111")
    assert (lost.status_code, "again" in lost.text) == (410, True)
    done = both[1].patch(urls[1], 0, b"2" * size)
    assert both[1].download(done.headers["File-Id"]) == b"2" * size


def test_an_object_that_is_replaced(taken: None, both: list[Tus]) -> None:
    """While an upload is discarded, another request stores a file of the same name."""
    url, location = both[0].begin(3, "unlucky.bin", storage="cloud"), "unlucky.bin"
    assert both[0].patch(url, 0, b"111").status_code == 500
    with ThreadPoolExecutor(1) as thread:
        with busy_location("cloud", location):
            end = thread.submit(both[0].send, "DELETE", url)
            wait_for(lambda: end.done() or is_one_waiting())
            theirs = get_storage("cloud").upload(location, make_upload(b"222"))
        assert end.result().status_code == 204
    assert get_storage("cloud").content(theirs) == b"222"


@pytest.mark.parametrize("whole", [True, False])
def test_a_name_that_is_busy(impatient: CkanServer, whole: bool) -> None:
    """The client is asked to come again by a status after which clients do; the bytes stay."""
    tus, name = new_client(impatient), f"busy-{whole}.bin".lower()
    with busy_location("named", name):
        answer = tus.create(3, name, b"123" if whole else None, storage="named")
        url = answer.headers["Location"]
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
        busy = tus.patch(url, 0, b"123")
        assert (busy.status_code, "Try again" in busy.text) == (423, True)
    done = tus.patch(url, 0, b"123")
    assert tus.download(done.headers["File-Id"]) == b"123"


def test_an_empty_file_of_a_busy_name(impatient: CkanServer) -> None:
    """A client takes an upload of no bytes for done: then there has to be a file."""
    tus, name = new_client(impatient), "busy-empty.bin"
    with busy_location("named", name):
        assert tus.create(0, name, storage="named").status_code == 423
