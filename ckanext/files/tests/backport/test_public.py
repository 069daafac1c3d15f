"""Public storages, and tokens for files in the other ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ckan.common import config
from ckan.exceptions import CkanConfigurationException
from ckan.lib import api_token
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app

from ckanext.files.backport.storage import FileData, Location, get_storage, storages
from ckanext.files.tests.support.load_plugins import storage_options
from ckanext.files.tests.support.users import call, new_user


@pytest.fixture(scope="module")
def app() -> Any:
    return _get_test_app()


@pytest.fixture
def file(app: Any) -> dict[str, Any]:
    return call("file_create", new_user(sysadmin=True), name="a.txt", upload=b"hello")


def _trusted(app: Any, **claims: Any) -> int:
    token = api_token.encode({"aud": "trusted_download", **claims})
    return app.get(f"/file/trusted-download/{token}").status_code


def test_bytes_without_a_row(app: Any, public_folder: Path) -> None:
    (public_folder / "sub").mkdir()
    (public_folder / "sub" / "a b.html").write_text("<script>")
    page = app.get("/file/public-download/shop/sub/a%20b.html")
    assert (page.status_code, page.data) == (200, b"<script>")
    assert page.headers["Content-Disposition"].startswith("attachment; ")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert app.get("/file/public-download/shop/sub").status_code == 404
    assert app.get("/file/public-download/shop/other").status_code == 404


def test_permanent_link(app: Any) -> None:
    data = FileData(Location("sub/a b.html"))
    with app.flask_app.test_request_context():
        link = get_storage("shop").permanent_link(data)
        assert get_storage("default").permanent_link(data) is None
    assert link.endswith("/file/public-download/shop/sub/a%20b.html")


def test_other_storages(app: Any, file: dict[str, Any]) -> None:
    address = f"/file/public-download/default/{file['location']}"
    assert app.get(address).status_code == 403
    assert app.get("/file/public-download/nowhere/a").status_code == 404


@pytest.mark.parametrize("inner", ["", "sub", "sub/../sub"])
def test_private_folder_in_a_public_one(
    app: Any, public_folder: Path, inner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CKAN does not start, as CKAN 2.12 does not."""
    settings = {"type": "files:fs", "path": f"{public_folder}/{inner}", "initialize": True}
    for option, value in storage_options("own", **settings).items():
        monkeypatch.setitem(config, option, value)
    storages.reset()
    with pytest.raises(CkanConfigurationException, match=r"storage\.own\.path lies in"):
        storages.collect()
    monkeypatch.setitem(config, "ckan.files.storage.own.path", f"{public_folder}-own")
    storages.reset()
    storages.collect()


@pytest.mark.parametrize("claims", [{}, {"aud": "other"}, {"exp": 1}, {"aud": None}])
def test_invalid_tokens(app: Any, file: dict[str, Any], claims: dict[str, Any]) -> None:
    """A wrong audience, no file, or an expired token."""
    assert _trusted(app, sub=file["id"], exp=int(time.time()) + 60) == 200
    claims = {"sub": file["id"], **claims} if claims else {}
    assert _trusted(app, **claims) == 404


@pytest.mark.parametrize("odd", [5, None, "", "\0", ["x"], {}])
def test_odd_claims(app: Any, file: dict[str, Any], odd: Any) -> None:
    place = {"storage": file["storage"], "location": file["location"]}
    assert _trusted(app, **place) == 200
    for name in place:
        assert _trusted(app, **{**place, name: odd}) == 404
    if odd is None or isinstance(odd, str):  # PyJWT refuses others before
        assert _trusted(app, sub=odd) == 404


def test_api_token_gives_no_access(app: Any, file: dict[str, Any]) -> None:
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    assert app.get(f"/file/trusted-download/{token}").status_code == 404
