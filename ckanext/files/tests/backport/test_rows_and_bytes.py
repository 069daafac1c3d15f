"""No row without bytes, and no bytes without a row, whatever fails between the two."""

from __future__ import annotations

import io
import logging
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app
from sqlalchemy.exc import DBAPIError

from ckanext.files.backport.storage import Capability, get_storage
from ckanext.files.filekeeper import removal
from ckanext.files.shared import on_commit
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.plain_storage import (
    call,
    create,
    delete,
    folder,
    rows,
    stored,
    within_an_action,
)
from ckanext.files.tests.support.proxy import session_through_proxy
from ckanext.files.tests.support.users import call as call_as
from ckanext.files.tests.support.users import new_user
from ckanext.files.transaction import Block, on_rollback


def test_commit() -> None:
    create("a.txt")
    assert (rows(), stored()) == (["a.txt"], {"a.txt": b"old"})


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_rollback(undo: str) -> None:
    create("a.txt", defer_commit=True)
    assert stored()
    getattr(model.Session, undo)()
    assert (rows(), stored()) == ([], {})


def test_savepoint() -> None:
    create("kept.txt", defer_commit=True)
    savepoint = model.Session.begin_nested()
    create("undone.txt", defer_commit=True)
    savepoint.rollback()
    assert set(stored()) == {"kept.txt"}
    model.Session.commit()
    assert (rows(), set(stored())) == (["kept.txt"], {"kept.txt"})


def test_action_that_fails() -> None:
    """The commit of ``file_create`` was only one of the action's."""

    def fail() -> None:
        create("a.txt")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        within_an_action(fail)
    assert (rows(), stored()) == ([], {})


def test_inner_action_that_fails() -> None:
    def inner() -> None:
        create("undone.txt")
        raise ZeroDivisionError

    def outer() -> None:
        create("kept.txt")
        with pytest.raises(ZeroDivisionError):
            within_an_action(inner)
        assert set(stored()) == {"kept.txt"}

    within_an_action(outer)
    assert (rows(), set(stored())) == (["kept.txt"], {"kept.txt"})


class _Interrupted(io.BytesIO):
    """An upload that breaks off after some bytes."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(b"x" * 100_000)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise self._error
        return super().read(10)


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), SystemExit()])
def test_interrupted_upload(error: BaseException) -> None:
    with pytest.raises(type(error)):
        create("a.txt", _Interrupted(error))
    model.Session.commit()  # as the caller may do next
    assert (rows(), stored()) == ([], {})


def test_interrupted_upload_in_an_action_that_goes_on() -> None:
    def do() -> None:
        with pytest.raises(OSError, match="gone"):
            create("a.txt", _Interrupted(OSError("gone")))
        create("b.txt")

    within_an_action(do)
    assert (rows(), set(stored())) == (["b.txt"], {"b.txt"})


def test_taken_location() -> None:
    """The second upload gets an error, and the bytes of the first stay."""
    create("a.txt")
    with pytest.raises(tk.ValidationError, match="already exists"):
        create("a.txt", b"new")
    model.Session.rollback()
    assert stored() == {"a.txt": b"old"}


def test_bytes_that_another_row_names_stay() -> None:
    """Another transaction reserved the location between the rollback and the removal."""
    create("a.txt", defer_commit=True)
    rows_at_rollback: list[list[str]] = []

    def insert_other_row(*_: Any) -> None:
        with engine().begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO files_file (id, name, storage, location, hash, algorithm)"
                    " VALUES ('other', 'a.txt', 'plain', 'a.txt', '', '')"
                )
            )
        rows_at_rollback.append(rows())

    on_rollback(insert_other_row)
    model.Session.rollback()
    assert rows_at_rollback == [["a.txt"]]
    assert stored() == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("cut", "held"),
    [("before", True), ("after", True), ("hang", True), ("before", False), ("after", False)],
)
def test_lost_commit(cut: Any, held: bool) -> None:
    """The bytes stay if PostgreSQL has committed."""
    with session_through_proxy() as proxy:
        model.Session.execute(sa.text("SELECT 1"))

        def do() -> None:
            create("a.txt", defer_commit=True)
            proxy.cut = cut
            model.Session.commit()

        try:
            with Block(eager=held):
                do()
        except DBAPIError:
            model.Session.rollback()
    expected = {"a.txt"} if cut == "after" else set[str]()
    assert (set(rows()), set(stored())) == (expected, expected)


def test_delete() -> None:
    id_ = create("a.txt")
    delete(id_)
    assert (rows(), stored()) == ([], {})


def test_delete_that_is_rolled_back() -> None:
    id_ = create("a.txt")
    delete(id_, defer_commit=True)
    assert stored()
    model.Session.rollback()
    assert (rows(), stored()) == (["a.txt"], {"a.txt": b"old"})


def test_delete_within_an_action() -> None:
    """The bytes are removed after the commit, so that no row is ever without them."""
    ids = [create("a.txt"), create("b.txt")]

    def delete_first() -> None:
        delete(ids[0])
        assert set(stored()) == {"a.txt", "b.txt"}

    def fail() -> None:
        delete(ids[1])
        raise ZeroDivisionError

    within_an_action(delete_first)
    assert (rows(), set(stored())) == (["b.txt"], {"b.txt"})
    with pytest.raises(ZeroDivisionError):
        within_an_action(fail)
    assert (rows(), set(stored())) == (["b.txt"], {"b.txt"})


def test_create_and_delete_in_one_transaction() -> None:
    delete(create("a.txt", defer_commit=True), defer_commit=True)
    model.Session.commit()
    assert (rows(), stored()) == ([], {})


@pytest.mark.parametrize("undo", [False, True])
def test_delete_and_create_in_one_transaction(undo: bool) -> None:
    """A rollback brings the old row back.

    CKAN 2.12 accepts the upload; after a rollback the old row has the new bytes.
    """
    delete(create("a.txt"), defer_commit=True)
    with pytest.raises(tk.ValidationError, match="already exists"):
        create("a.txt", b"new", defer_commit=True)
    assert (rows(), stored()) == (["a.txt"], {"a.txt": b"old"})
    if undo:
        model.Session.rollback()
        assert (rows(), stored()) == (["a.txt"], {"a.txt": b"old"})
    else:
        model.Session.commit()
        assert (rows(), stored()) == ([], {})
        create("a.txt", b"new")
        assert (rows(), stored()) == (["a.txt"], {"a.txt": b"new"})


def test_location_that_the_own_transaction_keeps_locked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The removal would wait for its own transaction for ever: it gives up and logs that."""
    monkeypatch.setattr(removal, "LOCK_TIMEOUT", "100ms")
    delete(create("a.txt", defer_commit=True), defer_commit=True)
    savepoint = model.Session.begin_nested()
    create("a.txt", b"new", defer_commit=True)
    with caplog.at_level(logging.ERROR, removal.__name__):
        savepoint.rollback()
    assert "keeps what no row names: a.txt" in caplog.text
    model.Session.commit()
    assert (rows(), stored()) == ([], {})


@pytest.mark.parametrize("location", ["./a.txt", ".//a.txt", "sub/../a.txt", "a.txt/", "{}/a.txt"])
def test_other_names_of_a_location(location: str) -> None:
    """A second row would share the bytes of the first, and its deletion would remove them."""
    create("a.txt")
    data = {"location": location.format(folder()), "storage": "plain"}
    with pytest.raises(tk.ValidationError) as raised:
        call("file_register", data)
    assert set(raised.value.error_dict) == {"location"}
    assert rows() == ["a.txt"]


@pytest.mark.parametrize("location", ["sub", ".", ""])
def test_folder_is_no_file(location: str) -> None:
    (folder() / "sub").mkdir()
    with pytest.raises(tk.ValidationError) as raised:
        call("file_register", {"location": location, "storage": "plain"})
    assert set(raised.value.error_dict) == {"location"}


def test_register() -> None:
    (folder() / "sub").mkdir()
    (folder() / "sub" / "a.txt").write_bytes(b"old")
    data = {"location": "sub/a.txt", "storage": "plain"}
    file = call("file_register", data)
    assert (file["location"], file["name"], file["size"]) == ("sub/a.txt", "a.txt", 3)
    assert rows() == ["sub/a.txt"]
    with pytest.raises(tk.ValidationError, match="already registered"):
        call("file_register", data)
    delete(file["id"])
    assert (rows(), list((folder() / "sub").iterdir())) == ([], [])


def test_download_from_a_storage_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    app, file = _get_test_app(), create("a.txt")
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    monkeypatch.setattr(get_storage("plain"), "capabilities", Capability.NONE)
    page = app.get(f"/file/download/{file}", headers={"Authorization": token})
    assert page.status_code == 422
    assert "File is not downloadable" in page.text


def test_storage_that_fails_to_remove(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is deleted all the same, and the log names the bytes that are left."""
    id_, called = create("a.txt"), []

    def fail(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(get_storage("plain"), "remove", fail)
    on_commit(lambda: called.append(1))
    with caplog.at_level(logging.ERROR, removal.__name__):
        delete(id_)
    assert rows() == []
    assert "keeps what no row names: a.txt" in caplog.text
    assert "read-only" in caplog.text
    assert called


def test_upload_of_a_user() -> None:
    """A refusal after the upload, such as by the schema of a dataset, leaves nothing."""
    user = new_user()

    def fail() -> None:
        create("a.txt", user=user)
        call_as("package_create", user, name="Not A Name")

    with pytest.raises(tk.ValidationError):
        within_an_action(fail)
    assert (rows(), stored()) == ([], {})
