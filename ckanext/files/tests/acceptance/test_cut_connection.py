"""A thread whose connection to PostgreSQL is cut within a request answers the next ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from ckan.tests import factories

from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for_a_lock

loaded = load_plugins("files")

_TERMINATE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def token() -> str:
    return factories.APIToken(user=new_user(sysadmin=True))["token"]


@contextmanager
def cut_while_waiting(ask: Callable[[], Any]) -> Iterator[None]:
    """Ask for something that waits for a lock, and end its connection meanwhile."""
    with engine().begin() as connection:
        connection.execute(sa.text("LOCK TABLE package IN ACCESS EXCLUSIVE MODE"))
        thread = threading.Thread(target=ask)
        thread.start()
        wait_for_a_lock()
        connection.execute(_TERMINATE)
    thread.join(60)
    yield


def _show(server: CkanServer, dataset: dict[str, Any], token: str) -> int:
    address = f"{server.url}/dataset/{dataset['name']}"
    return requests.get(address, headers={"Authorization": token}, timeout=60).status_code


@pytest.mark.parametrize("what", ["page", "action"])
def test_next_requests(servers: CkanServers, token: str, what: str) -> None:
    """Without the plugin all of them are 500, on CKAN 2.12.0 and 2.11.6."""
    dataset = factories.Dataset(title="before")
    server = servers.start({"ckan.plugins": "files"}, in_one_thread=True)
    statuses: list[int] = []

    def patch() -> int:
        return server.action("package_patch", token, id=dataset["id"], title="after").status_code

    def ask() -> None:
        statuses.append(_show(server, dataset, token) if what == "page" else patch())

    assert _show(server, dataset, token) == 200
    with cut_while_waiting(ask):
        assert statuses == [500]
    for _ in range(3):
        assert _show(server, dataset, token) == 200
    assert patch() == 200
