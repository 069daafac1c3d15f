"""Uploads into a storage on disk with ``file_create``, and downloads under odd names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized
from ckan.tests import factories
from file_keeper import Upload
from sqlalchemy.exc import IntegrityError

from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.portal import Api, call, owner, refused
from ckanext.files.tests.support.solr import title_in_solr


@pytest.fixture
def own(folder: Path) -> Iterator[Path]:
    """The folder of the storage ``own``; what a test uploads there is not committed."""
    yield folder / "own"
    model.Session.rollback()
    for path in (folder / "own").iterdir():
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def _create(upload: Any = b"hello", name: str = "a.txt", **data: Any) -> dict[str, Any]:
    context: Any = {"ignore_auth": True, "defer_commit": True}
    values = {"name": name, "storage": "own", "upload": upload, **data}
    return tk.get_action("file_create")(context, values)


def test_pipe(own: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert _create(Upload(pipe, "a.txt", 5, "text/plain"))["size"] == 5
    assert (own / "a.txt").read_bytes() == b"hello"


@pytest.mark.usefixtures("own")
def test_storage_gets_further_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, given = get_storage("own"), []
    upload = keeper.uploader.upload

    def look(location: Any, content: Any, extras: dict[str, Any]) -> Any:
        given.append(extras)
        return upload(location, content, extras)

    monkeypatch.setattr(keeper.uploader, "upload", look)
    _create(more={"a": 1})
    _create(name="b.txt")
    assert given == [{"ckan_api": {"more": {"a": 1}}}, {"ckan_api": {}}]


@pytest.mark.usefixtures("own")
def test_what_the_caller_has_left_to_be_written() -> None:
    """Its failure is none of the upload."""
    taken = factories.Dataset()["name"]
    model.Session.add(model.Package(name=taken))
    with pytest.raises(IntegrityError, match="package_name_key"):  # noqa: PT012 - whichever is first
        _create()
        model.Session.flush()


@pytest.mark.parametrize("fails", [False, True])
def test_search_index_has_nothing_before_the_commit(own: Path, fails: bool) -> None:
    dataset = factories.Dataset(title="before")
    package = model.Package.get(dataset["id"])
    assert package
    package.title = "after"
    if fails:
        (own / "sub").mkdir()
        with pytest.raises(tk.ValidationError, match="belongs to no file"):
            _create(name="sub")
    else:
        _create()
    model.Session.rollback()
    assert title_in_solr(dataset["id"]) == "before"


@pytest.mark.parametrize("storage", [["x"], {"x": "y"}, 5, True])
def test_storage_that_is_no_name(storage: Any) -> None:
    with refused("Must be a Unicode string value", "storage"):
        _create(storage=storage)


# who may upload


def test_refusal_names_the_option(
    author: str, sysadmin: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, answer = api.upload(author)
    assert (status, owner(answer["result"]["id"])[0]) == (200, "user")

    option = "ckan.files.authenticated_uploads.storages"
    monkeypatch.setitem(tk.config, option, ["other"])
    status, answer = api.upload(author)
    assert status == 403
    for part in (option, "storage default", "as storage: other"):
        assert part in str(answer["error"])

    option = "ckan.files.authenticated_uploads.allow"
    monkeypatch.setitem(tk.config, option, False)
    status, answer = api.upload(author)
    assert status == 403
    assert option in str(answer["error"])
    with pytest.raises(NotAuthorized) as caught:
        tk.check_access("file_create", {"user": ""}, {"storage": "default"})
    assert "authenticated_uploads" not in str(caught.value)
    assert tk.check_access("file_create", {"user": sysadmin}, {"storage": "default"})


def test_storage_that_is_not_configured(author: str, sysadmin: str, api: Api) -> None:
    """CKAN's own answer is for the sysadmin; the user learns which option has to name it."""
    status, answer = api.upload(sysadmin, storage="nix")
    assert (status, set(answer["error"])) == (409, {"storage", "__type"})
    assert "nix" in str(answer["error"]["storage"])
    status, answer = api.upload(author, storage="nix")
    assert status == 403
    assert "nix" in str(answer["error"])


# downloads


@pytest.mark.parametrize("kind", ["files", "core"])
@pytest.mark.parametrize("name", ["a\r\nb.txt", "\n", "ä ö.txt", ".csv", 'quo"te.txt'])
def test_download_of_what_was_registered(
    kind: str, name: str, app: Any, folder: Path, sysadmin: str
) -> None:
    path = folder / f"plain-{kind}" / name
    path.write_bytes(b"hello")
    file = call("file_register", sysadmin, location=name, storage=path.parent.name)
    assert file["location"] == name
    token = factories.APIToken(user=sysadmin)["token"]
    page = app.get(f"/file/download/{file['id']}", headers={"Authorization": token})
    assert (page.status_code, page.data) == (200, b"hello")
    call("file_delete", sysadmin, id=file["id"])


@pytest.mark.parametrize("id_", ["%00", "a%00b", "%ED%A0%80", "%0D%0A"])
def test_address_that_names_nothing(app: Any, id_: str) -> None:
    for address in (
        f"/file/download/{id_}",
        f"/file/trusted-download/{id_}",
        f"/file/public-download/{id_}/a",
        f"/file/public-download/default/{id_}",
    ):
        assert app.get(address).status_code in (403, 404), address
