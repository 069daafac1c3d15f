"""Who may upload what, and who sees an upload."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from ckan import model
from ckan.common import config
from ckan.lib.munge import munge_filename
from ckan.tests import factories

from ckanext.files import capabilities
from ckanext.files.pages.uploading import UploadStorage
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.tus import Tus, metadata
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.tests.uploads.conftest import new_client, spooled, wait_for_writer

PASSWORD = "correct horse battery"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"


def test_only_its_user_sees_an_upload(server: CkanServer, tus: Tus, clients: Any) -> None:
    """Others get the answer for an upload that does not exist."""
    url = tus.begin(6, "secret.txt")
    tus.patch(url, 0, b"123")
    sysadmin = new_client(server, sysadmin=True)
    for other in (clients(), sysadmin):
        for address in (url, "/file/upload/unknown"):
            asked = other.head(address)
            sent = other.patch(address, 3, b"456")
            ended = other.send("DELETE", address)
            assert [each.status_code for each in (asked, sent, ended)] == [404] * 3
            assert sent.json() == ended.json()
            assert sent.json()["error"] == {
                "__type": "Not Found Error",
                "upload": ["There is no such upload. Begin it again."],
            }
            assert not {"Upload-Length", "Upload-Offset"} & {*asked.headers, *sent.headers}
    logged_out = Tus(server.url)
    for address in (url, "/file/upload/unknown"):
        for answer in (logged_out.patch(address, 3, b"456"), logged_out.send("DELETE", address)):
            assert answer.status_code == 401
            assert answer.json()["error"]["upload"] == [
                "You are not logged in. Log in, and try again."
            ]
    assert tus.offset(url) == 3
    listed = call("files_upload_list", tus.user)
    assert [(each["name"], each["size"], each["offset"]) for each in listed] == [
        ("secret.txt", 6, 3)
    ]
    times, given = {"created", "expires"}, {"id", "name", "size", "offset", "storage", "metadata"}
    assert set(listed[0]) == times | given
    assert listed[0]["metadata"] == {"filename": "secret.txt"}
    assert url.endswith(listed[0]["id"])
    assert call("files_upload_list", sysadmin.user) == []
    assert server.action("files_upload_list").status_code == 403
    tus.patch(url, 3, b"456")
    assert call("files_upload_list", tus.user) == []


def test_who_may_upload(server: CkanServer, tus: Tus) -> None:
    anonymous = Tus(server.url).create(3)
    assert (anonymous.status_code, anonymous.json()["error"]["__type"]) == (
        401,
        "Authorization Error",
    )
    hidden = tus.create(3, storage="hidden")
    assert hidden.status_code == 403
    assert "authenticated_uploads" in hidden.json()["error"]["upload"][0]
    sysadmin = new_client(server, sysadmin=True)
    assert sysadmin.create(3, storage="hidden").status_code == 201
    unknown = sysadmin.create(3, storage="unknown")
    assert (unknown.status_code, "unknown" in unknown.text) == (400, True)


def test_rights_that_are_lost(server: CkanServer) -> None:
    """Before a request, and while one is sending the last bytes."""
    sysadmin = new_client(server, sysadmin=True)
    before, within = (sysadmin.begin(6, storage="hidden") for _ in range(2))
    for url in (before, within):
        assert sysadmin.patch(url, 0, b"123").status_code == 204
    change("UPDATE files_upload SET writer = ''")
    connection = sysadmin.open(within, 3, 3)
    connection.sendall(b"45")
    wait_for_writer(within)
    change('UPDATE "user" SET sysadmin = false WHERE name = :name', name=sysadmin.user)
    connection.sendall(b"6")
    assert b" 403 " in connection.recv(100)
    assert sysadmin.patch(before, 3, b"456").status_code == 403
    assert sysadmin.head(within).status_code == 403
    assert (
        look(
            "SELECT count(*) FROM files_upload WHERE file_id IS NOT NULL AND id = :id",
            id=before[-32:],
        )
        == 0
    )
    change('UPDATE "user" SET sysadmin = true WHERE name = :name', name=sysadmin.user)
    # what has arrived is still there
    done = [sysadmin.patch(url, 3, b"456") for url in (before, within)]
    assert [sysadmin.download(each.headers["File-Id"]) for each in done] == [b"123456"] * 2


@pytest.mark.parametrize("how", ["user_delete", "user_purge"])
def test_users_that_are_gone(server: CkanServer, how: str) -> None:
    tus = new_client(server)
    url = tus.begin(6)
    connection = tus.open(url, 0, 6)
    connection.sendall(b"123")
    wait_for_writer(url)
    if how == "user_purge":
        user: Any = model.User.get(tus.user)
        change("DELETE FROM api_token WHERE user_id = :id", id=user.id)
        change('DELETE FROM "user" WHERE id = :id', id=user.id)
    else:
        call("user_delete", None, id=tus.user)
    connection.sendall(b"456")
    assert b" 403 " in connection.recv(100)
    assert tus.head(url).status_code == 401
    assert (
        look("SELECT file_id FROM files_upload WHERE id = :id", id=url.rpartition("/")[2]) is None
    )


@pytest.fixture(scope="module")
def guarded(app: Any, lasting_servers: CkanServers) -> CkanServer:
    """A server as a portal has it: with tokens of sessions."""
    return lasting_servers.fork(app, lambda: _check_tokens(app))


@pytest.fixture(scope="module")
def unguarded(app: Any, lasting_servers: CkanServers) -> CkanServer:
    """Another one that leaves this check to CKAN."""

    def before() -> None:
        _check_tokens(app)
        app.flask_app.before_request_funcs["files_upload"] = []

    return lasting_servers.fork(app, before)


def _check_tokens(app: Any) -> None:
    app.flask_app.config["WTF_CSRF_ENABLED"] = True


def test_tokens_of_sessions(guarded: CkanServer, unguarded: CkanServer) -> None:
    """Without one nothing changes, also after an anonymous request."""
    token, tus = _log_in(guarded)
    url = tus.create(6, X_CSRFToken=token).headers["Location"]
    for _ in range(2):
        for answer in (
            tus.create(3),
            tus.patch(url, 0, b"123"),
            tus.patch(url, 0, b"123", X_CSRFToken="wrong"),
            tus.send("DELETE", url),
            tus.send("POST", url, b"123", X_HTTP_Method_Override="PATCH", Upload_Offset=0),
        ):
            assert (answer.status_code, answer.json()["success"]) == (400, False)
            [words] = answer.json()["error"]["upload"]
            assert words == "The page is too old, or you have logged out. Load it again."
        assert tus.offset(url) == 0
        anonymous = Tus(guarded.url)
        assert anonymous.create(3).status_code == 401
        assert anonymous.patch(url, 0, b"123").status_code == 401
    assert tus.patch(url, 0, b"123456", X_CSRFToken=token).status_code == 204

    # the negative control: on CKAN 2.12 its own check stops after an anonymous request
    _, tus = _log_in(unguarded)
    assert tus.create(3).status_code == 400
    assert Tus(unguarded.url).create(3).status_code == 401
    assert tus.create(3).status_code == (201 if capabilities.CORE_FILES else 400)


def _log_in(server: CkanServer) -> tuple[str, Tus]:
    """Log in by the form; return the token of the session, and a client that has its cookies."""
    user, http = factories.User(password=PASSWORD)["name"], requests.Session()
    form = {"login": user, "password": PASSWORD, "_csrf_token": _token(server, http)}
    answer = http.post(f"{server.url}/user/login", form, timeout=60, allow_redirects=False)
    assert answer.status_code == 302, answer.text
    return _token(server, http), Tus(server.url, user, http=http)


def _token(server: CkanServer, http: requests.Session) -> str:
    page = http.get(f"{server.url}/user/login", timeout=60).text
    found = re.search(r'name="_csrf_token"\s+content="([^"]+)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\boot.ini",
        "evil\u202efdp.exe",
        "‏קובץ.csv",
        "🐟" * 300 + ".csv",
        "a" * 300 + ".csv",
        "<img src=x onerror=alert(1)>\"'.html",
        "a\r\nSet-Cookie: b=c.txt",
        "..",
        ".",
    ],
)
@pytest.mark.parametrize("storage", ["folder", "cloud"])
def test_names_that_are_odd(tus: Tus, name: str, storage: str) -> None:
    url = tus.begin(3, name, storage=storage)
    assert call("files_upload_list", tus.user)[0]["name"] == name
    assert tus.head(url).headers["Upload-Metadata"] == metadata(filename=name, storage=storage)
    done = tus.patch(url, 0, b"123")
    assert done.status_code == 204, done.text
    file = call("file_show", tus.user, id=done.headers["File-Id"])
    assert file["name"] == munge_filename(name)
    assert tus.download(file["id"]) == b"123"


def test_limits_of_storages(tus: Tus, clients: Callable[[], Tus]) -> None:
    """Refused before the first byte, where that can be known; later, nothing stays."""
    large = tus.create(1001, storage="small")
    assert large.status_code == 413
    assert "1,001 bytes, and the storage takes 1,000 bytes" in large.text
    assert tus.create(1000, storage="small").status_code == 201
    # a bucket gets a part from memory: parts of larger files would be too large for that
    assert tus.create(625 * 2**30, storage="cloud").status_code == 201
    assert tus.create(625 * 2**30 + 1, storage="cloud").status_code == 413
    assert UploadStorage.named("cloud").max_size == 625 * 2**30  # as a field announces it
    assert UploadStorage.named("small").max_size == 1000
    assert UploadStorage.named("folder").max_size is None
    by_name = tus.create(100, "a.jpg", storage="pictures")
    assert by_name.status_code == 415
    assert "image/jpeg" in by_name.json()["error"]["upload"][0]

    # a name that promises nothing: the content decides, as soon as there is enough of it
    page = b"<!DOCTYPE html><html><body>" + b" " * 5000
    for first in (2048, 4000):
        url = tus.begin(len(page), "a.txt", storage="pictures")
        answer = tus.patch(url, 0, page[:first])
        assert (answer.status_code, "text/html" in answer.text) == (415, True)
        assert tus.head(url).status_code == 404
        assert not spooled(url).exists()
    url = tus.begin(len(page), "a.txt", storage="pictures")
    for start in range(0, 2000, 1000):
        assert tus.patch(url, start, page[start : start + 1000]).status_code == 204
    assert tus.patch(url, 2000, page[2000:2100]).status_code == 415
    before = look("SELECT count(*) FROM files_upload")
    assert tus.create(len(page), "a.txt", page, storage="pictures").status_code == 415
    assert tus.create(20, "a.txt", page[:20], storage="pictures").status_code == 415
    assert tus.create(0, "a.txt", storage="pictures").status_code == 415  # inode/x-empty
    assert look("SELECT count(*) FROM files_upload") == before
    file = call("file_show", tus.user, id=tus.upload(PNG, "a.png", storage="pictures"))
    assert file["content_type"] == "image/png"


def test_names_that_are_taken(tus: Tus, clients: Callable[[], Tus]) -> None:
    """Where the storage keeps names, a taken one is refused at once, or at the end."""
    other = clients()
    first, second = (each.begin(3, "a.txt", storage="named") for each in (tus, other))
    assert tus.patch(first, 0, b"111").status_code == 204
    answer = other.patch(second, 0, b"222")
    assert (answer.status_code, "upload" in answer.json()["error"]) == (400, True)
    assert other.create(3, "a.txt", storage="named").status_code == 400
    assert tus.download(tus.head(first).headers["File-Id"]) == b"111"


def test_limits_of_the_portal(app: Any, servers: CkanServers) -> None:
    """All storages of users may have limits, and the bodies of requests; files may be larger."""

    def before() -> None:
        app.flask_app.config["MAX_CONTENT_LENGTH"] = 1000
        config["ckan.files.authenticated_uploads.storages"] = ["small", "default"]
        for storage, size in (("default", 5000), ("small", 1000)):
            get_storage(storage).settings.max_size = size

    server = servers.fork(app, before)
    tus = Tus(server.url, user := new_user(), factories.APIToken(user=user)["token"])
    assert tus.send("OPTIONS").headers["Tus-Max-Size"] == "5000"
    url = tus.begin(1500)
    answer = tus.patch(url, 0, bytes(1500))
    assert answer.status_code == 413
    assert "send smaller parts" in answer.json()["error"]["upload"][0]
    assert tus.patch(url, 0, iter([bytes(1500)])).status_code == 413
    offset = tus.offset(url)
    assert offset in (0, 1000)
    assert tus.patch(url, offset, bytes(500)).status_code == 204
