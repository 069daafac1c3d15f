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

from ckanext.files.backport.storage import Capability, FileData, Location, get_storage, storages
from ckanext.files.tests.support.load_plugins import storage_options
from ckanext.files.tests.support.users import call, new_user


@pytest.fixture
def file(app: Any) -> dict[str, Any]:
    return call("file_create", new_user(sysadmin=True), name="a.txt", upload=b"hello")


def _trusted(app: Any, **claims: Any) -> int:
    token = api_token.encode({"aud": "trusted_download", **claims})
    return app.get(f"/file/trusted-download/{token}").status_code


def test_bytes_without_a_row(app: Any, public_folder: Path) -> None:
    (public_folder / "pages").mkdir()
    (public_folder / "pages" / "a b.html").write_text("<script>")
    with app.flask_app.test_request_context():
        link = get_storage("shop").permanent_link(FileData(Location("pages/a b.html")))
        assert get_storage("default").permanent_link(FileData(Location("pages/a b.html"))) is None
    assert link.endswith("/file/public-download/shop/pages/a%20b.html")
    page = app.get(link)
    assert (page.status_code, page.data) == (200, b"<script>")
    assert page.headers["Content-Disposition"].startswith("attachment; ")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    others = {"shop/pages": 404, "shop/other": 404, "nowhere/a": 404, "default/a": 403}
    for place, status in others.items():
        assert app.get(f"/file/public-download/{place}").status_code == status


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


def test_tokens(app: Any, file: dict[str, Any]) -> None:
    """With another audience, no file, an end in the past, or claims that no file can have."""
    by_id = {"sub": file["id"], "exp": int(time.time()) + 60}
    by_place = {"storage": file["storage"], "location": file["location"]}
    assert [_trusted(app, **claims) for claims in (by_id, by_place)] == [200, 200]
    refused = [{}, *({**by_id, **more} for more in ({"aud": "other"}, {"aud": None}, {"exp": 1}))]
    for odd in (5, None, "", "\0", ["x"], {}):
        refused += [{**by_place, name: odd} for name in by_place]
        if odd is None or isinstance(odd, str):  # PyJWT refuses others before
            refused.append({"sub": odd})
    for claims in refused:
        assert _trusted(app, **claims) == 404, claims
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    assert app.get(f"/file/trusted-download/{token}").status_code == 404


def test_storage_that_may_not_be_read(
    app: Any, file: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    monkeypatch.setattr(get_storage(), "capabilities", Capability.NONE)
    page = app.get(f"/file/download/{file['id']}", headers={"Authorization": token})
    assert page.status_code == 422
    assert "File is not downloadable" in page.text
