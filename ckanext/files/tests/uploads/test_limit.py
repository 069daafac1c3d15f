"""A user has so many unfinished uploads at most, also when requests meet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from ckan.common import config

from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.uploads.conftest import spooled

LIMIT = 3


@pytest.fixture(scope="module")
def server(app: Any, lasting_servers: CkanServers) -> CkanServer:
    def before() -> None:
        config["ckanext.files.uploads.max_unfinished"] = LIMIT

    return lasting_servers.fork(app, before)


def is_refused(answer: requests.Response) -> bool:
    """Return whether it is the answer to one upload too many, which no client asks for again."""
    if answer.status_code != 403:
        return False
    assert answer.json()["error"] == {
        "__type": "Authorization Error",
        "upload": [
            f"You have {LIMIT} unfinished uploads, which is the limit. "
            "Finish or discard one of them, and try again."
        ],
    }
    return True


def test_limit(tus: Tus, clients: Callable[[], Tus]) -> None:
    """What is finished, discarded or expired leaves its place."""
    urls = [tus.begin(3) for _ in range(LIMIT)]
    before = look("SELECT count(*) FROM files_upload")
    assert is_refused(tus.create(3))
    assert is_refused(tus.create(3, "a.txt", b"123"))
    assert is_refused(tus.create(0))
    assert look("SELECT count(*) FROM files_upload") == before
    assert clients().create(3).status_code == 201

    # those that were begun go on
    assert tus.patch(urls[0], 0, b"12").status_code == 204
    assert is_refused(tus.create(3))
    assert tus.patch(urls[0], 2, b"3").status_code == 204
    urls.append(tus.begin(3))
    assert is_refused(tus.create(3))
    tus.send("DELETE", urls[1])
    urls.append(tus.begin(3))
    assert is_refused(tus.create(3))
    tus.patch(urls[2], 0, b"12")
    expire = "UPDATE files_upload SET expires = now() WHERE id = :id"
    change(expire, id=urls[2].rpartition("/")[2])
    urls.append(tus.begin(3))
    assert not spooled(urls[2]).exists()
    assert is_refused(tus.create(3))
    listed = {each["id"] for each in call("files_upload_list", tus.user)}
    assert listed == {url.rpartition("/")[2] for url in urls[3:]}


@pytest.mark.parametrize("storage", ["gone", "small", "hidden"])
def test_discarded_whatever_has_changed(tus: Tus, clients: Callable[[], Tus], storage: str) -> None:
    """Uploads whose storage is gone, takes less now, or is for others: each leaves its place."""
    url, *_ = [tus.begin(3000) for _ in range(LIMIT)]
    assert tus.patch(url, 0, b"123").status_code == 204
    move = "UPDATE files_upload SET storage = :storage WHERE id = :id"
    change(move, storage=storage, id=url.rpartition("/")[2])
    assert tus.patch(url, 3, b"456").status_code in {400, 403, 413}
    assert clients().send("DELETE", url).status_code == 404
    assert tus.send("DELETE", url).status_code == 204
    assert not spooled(url).exists()
    tus.begin(3)


def test_many_at_once(tus: Tus, clients: Callable[[], Tus]) -> None:
    """Requests that all look before the first one has its upload cannot share the last place."""
    requests_, other = 6, clients()
    for client in (tus, other):
        for _ in range(LIMIT - 1):
            client.begin(3)
    with ThreadPoolExecutor(requests_ + 1) as threads:
        with engine().begin() as connection:
            # they may look at the table, but not write
            connection.execute(sa.text("LOCK TABLE files_upload IN SHARE MODE"))
            answers = [threads.submit(tus.create, 3) for _ in range(requests_)]
            another = threads.submit(other.create, 3)
            wait_for(lambda: waiting() >= requests_ + 1)
        assert sorted(each.result().status_code for each in answers) == [201] + [403] * (
            requests_ - 1
        )
        assert another.result().status_code == 201
    assert len(call("files_upload_list", tus.user)) == LIMIT


def waiting() -> int:
    """Return how many transactions of this database wait for a lock."""
    return look("""
        SELECT count(*) FROM pg_locks WHERE NOT granted AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())
    """)
