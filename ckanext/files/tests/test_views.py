"""Which caches may keep a download."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from ckan import model
from ckan.common import config
from ckan.lib import api_token
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.users import call, new_user

HEADER = "X-Ckan-Api-Token"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A portal that lets caches keep pages, with a public storage."""
    shop = {"type": "ckan:fs", "public": True, "path": tmp_path_factory.mktemp("public")}
    caching = {"ckan.cache_enabled": "true", "ckan.cache_expires": "3600"}
    with plugins_loaded("files", **storage_options("shop", **shop), **caching):
        yield _get_test_app()


@pytest.fixture
def user() -> str:
    return new_user()


@pytest.fixture
def token(user: str) -> str:
    return factories.APIToken(user=user)["token"]


@pytest.fixture
def private(app: Any, user: str) -> str:
    """The address of a file that belongs to the user."""
    return _address(_new_file(user))


@pytest.fixture
def public(app: Any, user: str) -> str:
    """The address of a file that belongs to a public dataset."""
    dataset = call("package_create", user, name=f"d-{uuid.uuid4()}")
    file = _new_file(user)
    transfer = {"id": file["id"], "owner_type": "package", "owner_id": dataset["id"]}
    call("file_ownership_transfer", user, **transfer)
    return _address(file)


def _new_file(user: str | None, storage: str = "default") -> dict[str, Any]:
    name = f"{uuid.uuid4()}.txt"
    return call("file_create", user, name=name, storage=storage, upload=b"hello")


def _address(file: dict[str, Any]) -> str:
    return f"/file/download/{file['id']}"


def _get(app: Any, address: str, **headers: str) -> Any:
    page = app.get(address, headers=headers, follow_redirects=False)
    model.Session.remove()
    return page


def _assert_private(page: Any) -> None:
    control = page.cache_control
    assert control.private
    assert not control.public
    assert control.no_cache  # a browser asks again: its next user may be another one
    assert not control.max_age
    assert {"cookie", "authorization"} <= set(page.vary.as_set())


def _assert_public(page: Any) -> None:
    assert page.cache_control.public
    assert not page.cache_control.private
    assert page.cache_control.max_age == 3600
    assert {"cookie", "authorization"} <= set(page.vary.as_set())


def test_token_in_a_header(app: Any, private: str, token: str) -> None:
    page = _get(app, private, Authorization=token)
    assert page.status_code == 200
    _assert_private(page)


def test_token_in_the_configured_header(
    app: Any, private: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config, "apitoken_header_name", HEADER)
    page = _get(app, private, **{HEADER: token})
    assert page.status_code == 200
    _assert_private(page)
    assert HEADER.lower() in page.vary.as_set()


def test_session(app: Any, private: str, user: str) -> None:
    found = model.User.get(user)
    assert found
    with app.flask_app.test_client() as client:
        with client.session_transaction() as session:
            session["_user_id"] = found.id
            session["last_active"] = None
        page = client.get(private)
        again = client.get(private, headers={"If-None-Match": page.headers["ETag"]})
    assert (page.status_code, again.status_code) == (200, 304)
    _assert_private(page)
    _assert_private(again)


def test_token_in_the_address(app: Any, public: str) -> None:
    """A plugin may let such a token give access."""
    page = _get(app, f"{public}?token=secret")
    assert page.status_code == 200
    _assert_private(page)


def test_trusted_download(app: Any, user: str) -> None:
    file = _new_file(user)
    token = api_token.encode({"sub": file["id"], "aud": "trusted_download"})
    page = _get(app, f"/file/trusted-download/{token}")
    assert page.status_code == 200
    _assert_private(page)


def test_public_file(app: Any, public: str) -> None:
    page = _get(app, public)
    assert page.status_code == 200
    _assert_public(page)
    same = _get(app, public, **{"If-None-Match": page.headers["ETag"]})
    assert same.status_code == 304
    _assert_public(same)
    part = _get(app, public, Range="bytes=0-1")
    assert (part.status_code, part.data) == (206, b"he")
    _assert_public(part)


def test_public_file_for_a_user(app: Any, public: str, token: str) -> None:
    """CKAN has not checked whether an anonymous visitor gets the file, too."""
    page = _get(app, public, Authorization=token)
    assert page.status_code == 200
    _assert_private(page)


def test_not_modified_and_parts(app: Any, private: str, token: str) -> None:
    page = _get(app, private, Authorization=token)
    kept = {"If-None-Match": page.headers["ETag"]}
    same = _get(app, private, Authorization=token, **kept)
    part = _get(app, private, Authorization=token, Range="bytes=0-1")
    assert (same.status_code, part.status_code) == (304, 206)
    _assert_private(same)
    _assert_private(part)


def test_refusal(app: Any, private: str) -> None:
    """A proxy that keeps the 404 of one visitor must not send it to the owner."""
    page = _get(app, private)
    assert page.status_code == 404
    _assert_private(page)


@pytest.mark.parametrize("whose", ["private", "public"])
def test_address_in_a_cloud(
    app: Any, whose: str, token: str, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    """The address is signed for a short time."""
    address, headers = request.getfixturevalue(whose), {"Authorization": token}
    signed = flask.Response(status=302, headers={"Location": "https://cloud/a?signature=b"})
    monkeypatch.setattr(get_storage().reader, "response", lambda *_: signed)
    page = _get(app, address, **(headers if whose == "private" else {}))
    assert (page.status_code, page.headers["Location"]) == (302, "https://cloud/a?signature=b")
    _assert_private(page)


def test_public_storage(app: Any, token: str) -> None:
    """CKAN checks no access, so that the response is the same for all visitors."""
    file = _new_file(None, "shop")
    address = f"/file/public-download/shop/{file['location']}"
    for headers in ({}, {"Authorization": token}):
        page = _get(app, address, **headers)
        assert page.status_code == 200
        assert page.cache_control.public
        assert page.cache_control.max_age == 3600


def test_other_pages(app: Any) -> None:
    page = _get(app, "/api/3/action/status_show")
    assert page.cache_control.public
    assert "authorization" not in page.vary.as_set()
