"""Files of several adapters, from the upload to the download page."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any

import pytest
from ckan.lib import api_token
from ckan.tests.helpers import _get_test_app

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.portal import Api
from ckanext.files.tests.support.s3 import s3_options
from ckanext.files.tests.support.users import new_user

HTML = b"<html><script>alert(1)</script></html>"


@pytest.fixture(scope="module")
def app(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A portal with a bucket and folders."""

    def folder(name: str) -> dict[str, Any]:
        return {"path": tmp_path_factory.mktemp(name), "initialize": True}

    storages: dict[str, dict[str, Any]] = {
        "cloud": {"type": "files:s3", **s3_options(s3, "of-downloads")},
        "folder": {"type": "files:fs", **folder("folder")},
        "plain": {"type": "ckan:fs", **folder("plain")},
        "public": {"type": "ckan:fs", "public": True, **folder("public")},
    }
    options: dict[str, str] = {}
    for name, settings in storages.items():
        options |= storage_options(name, **settings, location_transformers="uuid4", max_size="1kB")
    options["ckan.files.authenticated_uploads.allow"] = "true"
    options["ckan.files.authenticated_uploads.storages"] = " ".join(storages)
    with plugins_loaded("files", **options):
        yield _get_test_app()


@pytest.mark.parametrize("storage", ["cloud", "folder"])
def test_upload_and_download(app: Any, storage: str) -> None:
    user = new_user()
    api = Api(app)
    status, answer = _upload(api, user, storage, HTML)
    assert status == 200, answer
    file = answer["result"]
    assert (file["storage"], file["size"], file["content_type"]) == (storage, 38, "text/html")

    page = app.get(f"/file/download/{file['id']}", headers={"Authorization": api._token(user)})
    assert page.data == HTML
    assert page.headers["Content-Disposition"].startswith("attachment; ")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert app.get(f"/file/download/{file['id']}").status_code == 404

    status, answer = api.post("file_delete", user, id=file["id"])
    assert status == 200, answer
    assert file["location"] not in list(get_storage(storage).scan())


@pytest.mark.parametrize("storage", ["cloud", "folder"])
def test_limit(app: Any, storage: str) -> None:
    before = list(get_storage(storage).scan())
    status, answer = _upload(Api(app), new_user(), storage, b"x" * 1001)
    assert status == 409, answer
    assert list(get_storage(storage).scan()) == before


def _pages(api: Api, user: str, storage: str) -> dict[str, dict[str, str]]:
    """Upload an HTML page; return the headers that its request needs, by address."""
    status, answer = _upload(api, user, storage, HTML)
    assert status == 200, answer
    file = answer["result"]
    pages = {f"/file/download/{file['id']}": {"Authorization": api._token(user)}}
    token = api_token.encode({"sub": file["id"], "aud": "trusted_download"})
    pages[f"/file/trusted-download/{token}"] = {}
    if storage == "public":
        pages[f"/file/public-download/{storage}/{file['location']}"] = {}
    return pages


@pytest.mark.parametrize("storage", ["folder", "plain", "public"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_second_visit(app: Any, storage: str, method: str) -> None:
    """Browsers apply the headers of "not modified" to the file that they have kept."""
    ask = functools.partial(app.test_client().open, method=method)
    for address, headers in _pages(Api(app), new_user(), storage).items():
        first = ask(address, headers=headers)
        assert first.status_code == 200
        kept = {
            "If-None-Match": first.headers["ETag"],
            "If-Modified-Since": first.headers["Last-Modified"],
        }
        visits = [first]
        for name, value in kept.items():
            page = ask(address, headers={**headers, name: value})
            assert page.status_code == 304
            visits.append(page)
        for page in visits:
            assert page.headers["Content-Disposition"].startswith("attachment; ")
            assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("types", [["text/html"], ["*"]])
def test_second_visit_of_what_may_be_shown(
    app: Any, types: list[str], ckan_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ckan_config, "ckan.files.inline_content_types", types)
    for address, headers in _pages(Api(app), new_user(), "public").items():
        first = app.get(address, headers=headers)
        kept = {**headers, "If-None-Match": first.headers["ETag"]}
        second = app.get(address, headers=kept)
        assert (first.status_code, second.status_code) == (200, 304)
        for page in first, second:
            assert page.headers["Content-Disposition"].startswith("inline; ")


def _upload(api: Api, user: str, storage: str, content: bytes) -> tuple[int, dict[str, Any]]:
    return api._send(
        "file_create",
        user,
        data={"name": "page.html", "storage": storage, "upload": (io.BytesIO(content), "p.html")},
        content_type="multipart/form-data",
    )
