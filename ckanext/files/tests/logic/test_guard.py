"""Actions of files with odd arguments, on odd disks, and while another request deletes the file."""

from __future__ import annotations

import logging
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.logic import guard
from ckanext.files.store.models import file_table, owner_table
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.portal import FILES, call, new_file, new_user, put, refused
from ckanext.files.tests.support.waiting import wait_for_a_lock

OWNER = {"owner_type": "package", "owner_id": "OWNER"}
PAGE = {"start": 0, "rows": 1, "sort": "name"}
TRANSFER = {"id": "FILE", **OWNER, "force": False, "pin": False}
ACTIONS: dict[str, dict[str, Any]] = {
    "file_create": {"name": "a.txt", "storage": "default", "upload": b"hello"},
    "file_register": {"location": "a.txt", "storage": "default"},
    "file_show": {"id": "FILE"},
    "file_rename": {"id": "FILE", "name": "b.txt"},
    "file_pin": {"id": "FILE"},
    "file_unpin": {"id": "FILE"},
    "file_delete": {"id": "FILE"},
    "file_ownership_transfer": TRANSFER,
    "files_transfer_ownership": TRANSFER,
    "file_owner_scan": {"owner_type": "user", "owner_id": "", **PAGE},
}
TEXTS = (
    *("\0", "a\0b", "\ud800", "a\udfff", "\r\n", "\x1b", "\u202e"),
    *("../../a", "/", ".", "a" * 70_000),
)
ODD: tuple[Any, ...] = (
    *TEXTS,
    *(["\0"], {"\0": "a"}, [["\0", "asc"]], [["name", "\ud800"]], [[["name"], "asc"]], [{}], [[]]),
    *(-1, 10**30, 1.5, float("nan"), float("inf"), "-1", "9" * 30, "1e3", True, None, "", [], {}),
    *([1], [None], {"name": "asc"}, b"\0", 5),
)


# odd arguments


@pytest.fixture(scope="module")
def people(sysadmin: str) -> dict[str, str]:
    return {"user": new_user(), "sysadmin": sysadmin, "anonymous": ""}


@pytest.fixture(scope="module")
def dataset(people: dict[str, str]) -> str:
    return call("package_create", people["user"], name=f"d-{uuid.uuid4()}")["id"]


@pytest.mark.parametrize(
    ("action", "argument"), [(action, name) for action, data in ACTIONS.items() for name in data]
)
def test_odd_value(action: str, argument: str, people: dict[str, str], dataset: str) -> None:
    """It is refused or accepted, and does not make CKAN fail."""
    file, failures = "", []
    for value in ODD:
        for who, user in people.items():
            if not (file and look(f"SELECT count(*) FROM {FILES} WHERE id = :id", id=file)):
                file = new_file(people["user"])
            meant = {"FILE": file, "OWNER": dataset}
            data = {key: meant.get(item, item) for key, item in ACTIONS[action].items()}
            if error := _ask(action, user, {**data, argument: value}):
                failures.append(f"{value!r:.60} by {who}: {error!r:.300}")
    assert not failures, "\n".join(failures)


def _ask(action: str, user: str, data: dict[str, Any]) -> Exception | None:
    """Return an exception that is no answer."""
    context: Any = {"user": user, "ignore_auth": False}
    try:
        tk.get_action(action)(context, data)
    except (tk.ValidationError, tk.NotAuthorized, tk.ObjectNotFound):
        return None
    except Exception as error:
        return error
    finally:
        model.Session.rollback()
        model.Session.remove()
    return None


# a file that another request deletes

TO_USER = {"owner_type": "user", "owner_id": str(uuid.uuid4()), "force": True}
DELETES_TWICE = pytest.mark.skipif(CORE_FILES, reason="core reports success to both")


@contextmanager
def deleted_as_soon_as_a_transaction_waits(file: str) -> Iterator[None]:
    """Delete the file in another transaction, which ends when the block waits for it."""
    deleted = threading.Event()

    def delete() -> None:
        with engine().begin() as connection:
            for column in (owner_table.c.file_id, file_table.c.id):
                connection.execute(sa.delete(column.table).where(column == file))
            deleted.set()
            wait_for_a_lock()

    thread = threading.Thread(target=delete)
    thread.start()
    assert deleted.wait(30)
    try:
        yield
    finally:
        thread.join(90)


@pytest.mark.parametrize(
    ("action", "data", "owner"),
    [
        ("file_rename", {"name": "b.txt"}, "user"),
        ("file_pin", {}, "user"),
        ("file_unpin", {}, "user"),
        pytest.param("file_delete", {}, "user", marks=DELETES_TWICE),
        ("file_ownership_transfer", TO_USER, "user"),
        ("file_ownership_transfer", TO_USER, None),
    ],
)
def test_deleted_meanwhile(action: str, data: dict[str, Any], owner: str | None) -> None:
    (file,) = put((owner, str(uuid.uuid4())) if owner else None, pinned=action == "file_unpin")
    with deleted_as_soon_as_a_transaction_waits(file), pytest.raises(tk.ObjectNotFound):
        call(action, None, id=file, **data)
    with pytest.raises(tk.ObjectNotFound):
        call("file_show", None, id=file)


# a disk that is full or may not be written


@pytest.fixture(params=["files", "core"])
def disk(request: pytest.FixtureRequest, folder: Path) -> Iterator[Path]:
    """The folder of a storage on an empty disk of some kilobytes."""
    path = folder / f"tiny-{request.param}"
    _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path))
    yield path
    model.Session.rollback()
    with engine().begin() as connection:
        connection.execute(sa.delete(file_table).where(file_table.c.storage == path.name))
    _run("umount", str(path))


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"may not mount: {ran.stderr.strip()}")


def _make_read_only(disk: Path) -> None:
    _run("mount", "-o", "remount,ro", str(disk))


def _create(disk: Path, name: str, content: bytes) -> str:
    return call("file_create", None, name=name, storage=disk.name, upload=content)["id"]


@pytest.mark.parametrize("is_full", [True, False])
def test_upload_to_a_disk_that_cannot_take_it(
    disk: Path, is_full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the storage, for the client and in the log, and nothing stays."""
    if not is_full:
        _make_read_only(disk)
    reason = "No space left on device" if is_full else "Read-only file system"
    with (
        caplog.at_level(logging.ERROR, guard.__name__),
        refused(f"The storage {disk.name} failed: {reason}", "storage"),
    ):
        _create(disk, "a.bin", b"x" * 100_000)
    assert f"The storage {disk.name} failed in file_create" in caplog.text
    model.Session.commit()  # whatever the caller does next
    assert not look(f"SELECT count(*) FROM {FILES} WHERE storage = :name", name=disk.name)
    if disk.name == "tiny-core" and CORE_FILES:
        return  # core's own storage leaves the part that it could write
    assert list(disk.iterdir()) == []
    if is_full:
        assert _create(disk, "b.bin", b"x" * 1000)


def test_deletion_on_a_read_only_disk(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = _create(disk, "a.bin", b"hello")
    _make_read_only(disk)
    if CORE_FILES:  # which removes the bytes before the row
        with refused(f"The storage {disk.name} failed: Read-only file system", "storage"):
            call("file_delete", None, id=file)
        assert call("file_show", None, id=file)
        return
    call("file_delete", None, id=file)
    assert f"Storage {disk.name} keeps what no row names: a.bin" in caplog.text
    assert (disk / "a.bin").exists()
