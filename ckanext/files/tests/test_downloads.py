"""Downloads over HTTP: attachments, also at a second visit, and which caches may keep them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import flask
import pytest
from ckan import model
from ckan.common import config
from ckan.lib import api_token
from ckan.tests.helpers import _get_test_app

from ckanext.files import capabilities
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, s3_options, storage_options
from ckanext.files.tests.support.portal import Api, call
from ckanext.files.tests.support.users import new_user

HTML = b"<html><script>alert(1)</script></html>"


@pytest.fixture(scope="module")
def app(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A portal that lets caches keep pages, with a bucket and folders."""

    def folder(name: str) -> dict[str, Any]:
        return {"path": tmp_path_factory.mktemp(name), "initialize": True}

    storages: dict[str, dict[str, Any]] = {
        "cloud": {"type": "files:s3", **s3_options(s3, "of-downloads")},
        "folder": {"type": "files:fs", **folder("folder")},
        "plain": {"type": "ckan:fs", **folder("plain")},
        "public": {"type": "ckan:fs", "public": True, **folder("public")},
    }
    options: dict[str, str] = {"ckan.cache_enabled": "true", "ckan.cache_expires": "3600"}
    for name, settings in storages.items():
        options |= storage_options(name, **settings, location_transformers="uuid4", max_size="1kB")
    options["ckan.files.authenticated_uploads.allow"] = "true"
    options["ckan.files.authenticated_uploads.storages"] = " ".join(storages)
    with plugins_loaded("files", **options):
        yield _get_test_app()


class Owned(NamedTuple):
    """A user, and the addresses of two files."""

    user: str
    token: dict[str, str]
    """The header with an API token of the user."""

    private: str
    public: str
    """Of a file that belongs to a public dataset."""


@pytest.fixture(scope="module")
def owned(app: Any) -> Owned:
    user = new_user()
    private, public = _new_file(user), _new_file(user)
    dataset = call("package_create", user, name=f"d-{uuid.uuid4()}")
    transfer = {"id": public["id"], "owner_type": "package", "owner_id": dataset["id"]}
    call("file_ownership_transfer", user, **transfer)
    token = {"Authorization": Api(app).token(user)}
    return Owned(user, token, _address(private), _address(public))


def _new_file(user: str, storage: str = "folder", content: bytes = b"hello") -> dict[str, Any]:
    return call("file_create", user, name="page.html", storage=storage, upload=content)


def _address(file: dict[str, Any]) -> str:
    return f"/file/download/{file['id']}"


def _trusted(file: dict[str, Any]) -> str:
    token = api_token.encode({"sub": file["id"], "aud": "trusted_download"})
    return f"/file/trusted-download/{token}"


def _get(app: Any, address: str, headers: dict[str, str], method: str = "GET") -> Any:
    page = app.test_client().open(address, method=method, headers=headers, follow_redirects=False)
    model.Session.remove()
    return page


@pytest.mark.parametrize("storage", ["cloud", "folder"])
def test_upload_and_download(app: Any, storage: str) -> None:
    user, api = new_user(), Api(app)

    def upload(content: bytes) -> tuple[int, dict[str, Any]]:
        data = {"name": "page.html", "storage": storage, "upload": (io.BytesIO(content), "p.html")}
        return api.send("file_create", user, data=data, content_type="multipart/form-data")

    status, answer = upload(HTML)
    assert status == 200, answer
    file = answer["result"]
    assert (file["storage"], file["size"], file["content_type"]) == (storage, 38, "text/html")
    page = _get(app, _address(file), {"Authorization": api.token(user)})
    assert page.data == HTML
    assert page.headers["Content-Disposition"].startswith("attachment; ")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert _get(app, _address(file), {}).status_code == 404

    before = list(get_storage(storage).scan())
    assert file["location"] in before
    status, answer = upload(b"x" * 1001)
    assert status == 409, answer
    assert list(get_storage(storage).scan()) == before
    status, answer = api.post("file_delete", user, id=file["id"])
    assert status == 200, answer
    assert file["location"] not in list(get_storage(storage).scan())


@pytest.mark.parametrize(
    ("storage", "inline", "disposition"),
    [
        ("folder", [], "attachment; "),
        ("plain", [], "attachment; "),
        ("public", [], "attachment; "),
        ("public", ["text/html"], "inline; "),
        ("public", ["*"], "inline; "),
    ],
)
def test_second_visit(
    app: Any, owned: Owned, storage: str, inline: list[str], disposition: str, monkeypatch: Any
) -> None:
    """Browsers apply the headers of "not modified" to the file that they have kept."""
    monkeypatch.setitem(config, "ckan.files.inline_content_types", inline)
    file = _new_file(owned.user, storage, HTML)
    pages = {_address(file): owned.token, _trusted(file): {}}
    if storage == "public":
        pages[f"/file/public-download/{storage}/{file['location']}"] = {}
    for method in ("GET", "HEAD"):
        for address, headers in pages.items():
            first = _get(app, address, headers, method)
            assert first.status_code == 200
            etag = {"If-None-Match": first.headers["ETag"]}
            date = {"If-Modified-Since": first.headers["Last-Modified"]}
            again = [_get(app, address, {**headers, **kept}, method) for kept in (etag, date)]
            assert [page.status_code for page in again] == [304, 304]
            for page in first, *again:
                assert page.headers["Content-Disposition"].startswith(disposition)
                assert page.headers["X-Content-Type-Options"] == "nosniff"


def _assert_private(page: Any) -> None:
    control = page.cache_control
    assert control.private
    assert not control.public
    assert control.no_cache  # a browser asks again: its next user may be another one
    assert not control.max_age
    assert {"cookie", "authorization"} <= set(page.vary.as_set())


def test_answers_that_no_cache_keeps(app: Any, owned: Owned) -> None:
    etag = {"If-None-Match": _get(app, owned.private, owned.token).headers["ETag"]}
    for address, headers, status in (
        (owned.private, owned.token, 200),
        (owned.private, {**owned.token, **etag}, 304),
        (owned.private, {**owned.token, "Range": "bytes=0-1"}, 206),
        # a proxy that keeps the 404 of one visitor must not send it to the owner
        (owned.private, {}, 404),
        # CKAN has not checked whether an anonymous visitor gets the file, too
        (owned.public, owned.token, 200),
        # a plugin may let such a token give access
        (f"{owned.public}?token=secret", {}, 200),
        (_trusted(_new_file(owned.user)), {}, 200),
    ):
        page = _get(app, address, headers)
        assert page.status_code == status
        _assert_private(page)


def test_token_in_the_configured_header(
    app: Any, owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config, "apitoken_header_name", "X-Ckan-Api-Token")
    page = _get(app, owned.private, {"X-Ckan-Api-Token": owned.token["Authorization"]})
    assert page.status_code == 200
    _assert_private(page)
    assert "x-ckan-api-token" in page.vary.as_set()


def test_session(app: Any, owned: Owned) -> None:
    found = model.User.get(owned.user)
    assert found
    with app.flask_app.test_client() as client:
        with client.session_transaction() as session:
            session["_user_id"] = found.id
            session["last_active"] = None
        page = client.get(owned.private)
        again = client.get(owned.private, headers={"If-None-Match": page.headers["ETag"]})
    assert (page.status_code, again.status_code) == (200, 304)
    _assert_private(page)
    _assert_private(again)


def test_address_in_a_cloud(app: Any, owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is signed for a short time."""
    signed = flask.Response(status=302, headers={"Location": "https://cloud/a?signature=b"})
    monkeypatch.setattr(get_storage("folder").reader, "response", lambda *_: signed)
    for address, headers in ((owned.private, owned.token), (owned.public, {})):
        page = _get(app, address, headers)
        assert (page.status_code, page.headers["Location"]) == (302, "https://cloud/a?signature=b")
        _assert_private(page)


def test_answers_that_caches_keep(app: Any, owned: Owned) -> None:
    file = _new_file(owned.user, "public")
    etag = {"If-None-Match": _get(app, owned.public, {}).headers["ETag"]}
    # CKAN checks no access to a public storage, so that the response is the same for all visitors
    of_storage = f"/file/public-download/public/{file['location']}"
    for address, headers, status, varies in (
        (owned.public, {}, 200, True),
        (owned.public, etag, 304, True),
        (owned.public, {"Range": "bytes=0-1"}, 206, True),
        (of_storage, {}, 200, False),
        (of_storage, owned.token, 200, False),
        ("/api/3/action/status_show", {}, 200, False),
    ):
        page = _get(app, address, headers)
        assert page.status_code == status
        assert page.data == b"he" or status != 206
        assert page.cache_control.public
        assert not page.cache_control.private
        assert page.cache_control.max_age == 3600
        assert ("authorization" in page.vary.as_set()) == varies
        assert "cookie" in page.vary.as_set() or not varies


@pytest.mark.skipif(not capabilities.CORE_FILES, reason="a storage of CKAN 2.11 is one of ours")
def test_storage_of_another_plugin(app: Any, owned: Owned, tmp_path: Path) -> None:
    """It reads as CKAN's manual shows it: by an open file, which is sent in chunks."""
    core = import_module("ckan.lib.files.default.fs")
    reader = type("Reader", (core.base.Reader, core.fs.Reader), {})
    adapter: Any = type("Storage", (core.FsStorage,), {"ReaderFactory": reader})
    content = b"x" * 200_000
    storages.register("other", adapter({"name": "other", "path": str(tmp_path)}))
    try:
        file = _new_file(new_user(sysadmin=True), "other", content)
        sent = _get(app, _trusted(file), {})
        chunks = list(sent.iter_encoded())
        sent.close()
    finally:
        storages.pop("other")
    assert (b"".join(chunks), max(map(len, chunks))) == (content, 64 * 1024)
