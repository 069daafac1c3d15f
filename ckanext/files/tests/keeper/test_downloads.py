"""Files in the storages of other adapters, from the upload to the download page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from ckan.tests.helpers import _get_test_app

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.keeper.s3 import s3_options
from ckanext.files.tests.loaded import plugins_loaded
from ckanext.files.tests.people import new_user
from ckanext.files.tests.portal import Api

HTML = b"<html><script>alert(1)</script></html>"


@pytest.fixture(scope="module")
def app(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A portal with a bucket and a folder."""
    storages: dict[str, dict[str, Any]] = {
        "cloud": {"type": "files:s3", **s3_options(s3, "of-downloads")},
        "folder": {
            "type": "files:fs",
            "path": str(tmp_path_factory.mktemp("folder")),
            "initialize": True,
        },
    }
    options = {
        f"ckan.files.storage.{name}.{option}": str(value)
        for name, settings in storages.items()
        for option, value in {
            **settings,
            "location_transformers": "uuid4",
            "max_size": "1kB",
        }.items()
    }
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


def _upload(api: Api, user: str, storage: str, content: bytes) -> tuple[int, dict[str, Any]]:
    return api._send(
        "file_create",
        user,
        data={"name": "page.html", "storage": storage, "upload": (io.BytesIO(content), "p.html")},
        content_type="multipart/form-data",
    )
