"""Two users upload files of one name at once, into storages that keep names."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from ckan import model

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import new_client

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

    def before() -> None:
        for name in ("named", "default", "cloud"):
            settings = get_storage(name).settings
            settings.overwrite_existing, settings.location_transformers = True, []
        ProbePlugin.hooks["after:file_create"] = look_after

    return lasting_servers.fork(app, before)


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
