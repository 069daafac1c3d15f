"""The server that acceptance tests start is a real one, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from ckan.tests import factories

from ckanext.files.tests.support.server import CkanServers


@pytest.mark.usefixtures("clean_db")
def test_serves_the_database_of_the_test(servers: CkanServers) -> None:
    dataset = factories.Dataset(title="Seen from both sides")
    server = servers.start({"ckan.site_title": "100 % of it"}, {"CKAN_SITE_ID": "elsewhere"})

    assert server.action("package_show", id=dataset["id"]).json()["result"] == dataset
    assert "100 % of it" in requests.get(server.url, timeout=60).text
    assert requests.get(server.url + "/user/login", timeout=60).ok
    environment = Path(f"/proc/{server.pid}/environ").read_text()
    assert "CKAN_SITE_ID=elsewhere" in environment.split("\0")


def test_starts_again_after_a_kill(servers: CkanServers) -> None:
    server = servers.start()
    server.kill()
    assert server.wait() == -9
    with pytest.raises(requests.ConnectionError):
        server.action("status_show")

    server.start()
    assert server.action("status_show").ok
    server.stop()
    assert not Path(f"/proc/{server.pid}").exists()
