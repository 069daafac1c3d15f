"""A plugin that chains ``file_create`` sends resumable uploads to another storage."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import call
from ckanext.files.tests.uploads.conftest import new_client


@pytest.fixture(scope="module")
def server(app: Any, lasting_servers: CkanServers) -> CkanServer:
    def redirect(_: Any, data_dict: dict[str, Any]) -> None:
        if data_dict.get("name", "").startswith("to-"):
            data_dict["storage"] = data_dict["name"].split("-")[1]

    def before() -> None:
        ProbePlugin.hooks["before:file_create"] = redirect

    return lasting_servers.fork(app, before)


@pytest.fixture
def tus(server: CkanServer) -> Tus:
    return new_client(server)


@pytest.mark.parametrize("target", ["default", "folder", "cloud", "copied", "named"])
@pytest.mark.parametrize("storage", ["default", "folder", "cloud", "copied"])
def test_a_plugin_that_chooses_another_storage(tus: Tus, storage: str, target: str) -> None:
    """The bytes are where the row says that they are, or the upload is refused."""
    url = tus.begin(5, f"to-{target}-from-{storage}", storage=storage)
    done = tus.patch(url, 0, b"bytes")
    if done.status_code != 204:
        assert done.status_code < 500, (done.status_code, done.text)
        return
    file = done.headers["File-Id"]
    assert call("file_show", None, id=file)["storage"] == target
    assert tus.download(file) == b"bytes"
