"""A public client that is not ours, tuspy, with CKAN's own server."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from ckan.tests import factories
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage

from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(options: dict[str, Any], lasting_servers: CkanServers) -> CkanServer:
    """``ckan run`` in a process of its own."""
    return lasting_servers.start({name: str(value) for name, value in options.items()})


class Client:
    """tuspy with an API token of a new user, and a file to upload."""

    def __init__(self, server: CkanServer, folder: Path, size: int) -> None:
        self.tus = Tus(server.url, user := new_user(), factories.APIToken(user=user)["token"])
        self._client = TusClient(self.tus.endpoint, headers={"Authorization": self.tus.token})
        self.path, self._folder = folder / "data.bin", folder
        self.path.write_bytes(os.urandom(size))

    def uploader(self, storage: str, **options: Any) -> Any:
        urls = FileStorage(str(self._folder / "urls.json"))
        metadata = {"filename": "data.bin", "storage": storage}
        options = {"store_url": True, "url_storage": urls, "metadata": metadata, **options}
        return self._client.uploader(str(self.path), **options)

    def check(self, url: str) -> None:
        file_id = self.tus.head(url).headers["File-Id"]
        digests = [
            hashlib.sha256(content).hexdigest()
            for content in (self.tus.download(file_id), self.path.read_bytes())
        ]
        assert digests[0] == digests[1]


@pytest.mark.parametrize("storage", ["default", "folder", "cloud"])
def test_upload(server: CkanServer, tmp_path: Path, storage: str) -> None:
    client = Client(server, tmp_path, 12 * MIB + 7)
    uploader = client.uploader(storage, chunk_size=5 * MIB, upload_checksum=True)
    uploader.upload_chunk()
    assert uploader.offset == 5 * MIB
    # another process of the client finds the address of the upload by the file
    again = client.uploader(storage, chunk_size=5 * MIB)
    assert (again.url, again.offset) == (uploader.url, 5 * MIB)
    again.upload()
    client.check(again.url)


@pytest.mark.crash
def test_resumes_after_a_kill(server: CkanServer, tmp_path: Path) -> None:
    """The server is killed within a request, and the client goes on where the bytes end."""
    client = Client(server, tmp_path, 40 * MIB)
    uploader = client.uploader("folder", chunk_size=MIB)

    def upload() -> None:
        with pytest.raises((TusCommunicationError, TusUploadFailed)):
            uploader.upload()

    thread = threading.Thread(target=upload)
    thread.start()
    wait_for(lambda: uploader.offset > 5 * MIB)
    server.kill()
    thread.join()
    server.start()
    again = client.uploader("folder", chunk_size=10 * MIB, retries=3, retry_delay=1)
    assert 5 * MIB < again.offset < 40 * MIB
    again.upload()
    client.check(again.url)
