"""A disk that is full or may not be written, and names that only a disk can have."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.logic import guard
from ckanext.files.store.storages import storages
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import plugins_loaded
from ckanext.files.tests.support.portal import FILES
from ckanext.files.tests.support.users import call, new_user

KINDS = ("files:fs", "ckan:fs")


class Disk(NamedTuple):
    """A disk of some kilobytes."""

    folder: Path

    def make_read_only(self) -> None:
        _run("mount", "-o", "remount,ro", str(self.folder))


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"may not mount: {ran.stderr.strip()}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storages")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", autouse=True)
def app(folder: Path, kind: str) -> Iterator[Any]:
    """A portal with two storages of that kind."""
    options = {
        f"ckan.files.storage.{name}.{option}": value
        for name in ("plain", "tiny")
        for option, value in (("type", kind), ("path", str(folder / name)), ("initialize", "true"))
    }
    with plugins_loaded("files", **options):
        yield _get_test_app()
    storages.reset()


@pytest.fixture
def disk(app: Any, folder: Path) -> Iterator[Disk]:
    """The storage ``tiny`` on an empty disk."""
    _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder / "tiny"))
    yield Disk(folder / "tiny")
    _run("umount", str(folder / "tiny"))


@pytest.fixture(autouse=True)
def no_rows() -> Iterator[None]:
    yield
    model.Session.rollback()
    with engine().begin() as connection:
        connection.execute(sa.text(f"DELETE FROM {FILES} WHERE storage IN ('plain', 'tiny')"))


def _create(name: str, content: bytes) -> str:
    return call("file_create", None, name=name, storage="tiny", upload=content)["id"]


def _rows() -> int:
    return look(f"SELECT count(*) FROM {FILES} WHERE storage = 'tiny'")


@pytest.mark.parametrize("is_full", [True, False])
def test_upload(disk: Disk, is_full: bool, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error names the storage, for the client and in the log, and nothing stays."""
    if not is_full:
        disk.make_read_only()
    with (
        caplog.at_level(logging.ERROR, guard.__name__),
        pytest.raises(tk.ValidationError) as raised,
    ):
        _create("a.bin", b"x" * 100_000)
    reason = "No space left on device" if is_full else "Read-only file system"
    message = f"The storage tiny failed: {reason}"
    assert raised.value.error_dict == {"storage": [message]}
    assert "The storage tiny failed in file_create" in caplog.text
    model.Session.commit()  # whatever the caller does next
    assert not _rows()
    if kind == "ckan:fs" and CORE_FILES:
        return  # core's own storage leaves the part that it could write
    assert list(disk.folder.iterdir()) == []
    if is_full:
        assert _create("b.bin", b"x" * 1000)


def test_deletion(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    file = _create("a.bin", b"hello")
    disk.make_read_only()
    if CORE_FILES:  # which removes the bytes before the row
        with pytest.raises(tk.ValidationError) as raised:
            call("file_delete", None, id=file)
        message = "The storage tiny failed: Read-only file system"
        assert raised.value.error_dict == {"storage": [message]}
        assert call("file_show", None, id=file)
        return
    call("file_delete", None, id=file)
    assert "Storage tiny keeps what no row names: a.bin" in caplog.text
    assert (disk.folder / "a.bin").exists()


@pytest.mark.parametrize("name", ["a\r\nb.txt", "\n", "ä ö.txt", ".csv", 'quo"te.txt'])
def test_download_of_what_was_registered(app: Any, folder: Path, name: str) -> None:
    (folder / "plain" / name).write_bytes(b"hello")
    sysadmin = new_user(sysadmin=True)
    file = call("file_register", sysadmin, location=name, storage="plain")
    assert file["location"] == name
    token = factories.APIToken(user=sysadmin)["token"]
    page = app.get(f"/file/download/{file['id']}", headers={"Authorization": token})
    assert (page.status_code, page.data) == (200, b"hello")
    (folder / "plain" / name).unlink()


@pytest.mark.parametrize("id_", ["%00", "a%00b", "%ED%A0%80", "%0D%0A"])
def test_address_that_names_nothing(app: Any, id_: str) -> None:
    for address in (
        f"/file/download/{id_}",
        f"/file/trusted-download/{id_}",
        f"/file/public-download/{id_}/a",
        f"/file/public-download/default/{id_}",
    ):
        assert app.get(address).status_code in (403, 404), address
