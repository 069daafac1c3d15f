"""No row without bytes, and no bytes without a row, whatever goes wrong between them."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.tests import factories
from ckan.tests.helpers import _get_test_app
from sqlalchemy.exc import DBAPIError

from ckanext.files.backport.storage import Capability, get_storage, storages
from ckanext.files.filekeeper import removal
from ckanext.files.shared import on_commit
from ckanext.files.tests.effects import engine, look
from ckanext.files.tests.loaded import plugins_loaded
from ckanext.files.tests.people import call, new_user
from ckanext.files.tests.proxy import session_through_proxy
from ckanext.files.transaction import Block, on_rollback

_PLAIN = "ckan.files.storage.plain"


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A storage that keeps each file under its name, beside the default one."""
    folder = tmp_path_factory.mktemp("plain")
    options = {"type": "ckan:fs", "path": str(folder), "initialize": "true"}
    plain = {f"{_PLAIN}.{name}": value for name, value in options.items()}
    with plugins_loaded("files", "files_test_probe", **plain):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """Begin with no files in that storage, and leave none: other modules have one of that name."""
    _clear()
    yield
    model.Session.rollback()
    _clear()


def _clear() -> None:
    with engine().begin() as connection:
        connection.execute(sa.text("DELETE FROM files_file WHERE storage = 'plain'"))
    for path in _folder().iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _folder() -> Path:
    return Path(config[f"{_PLAIN}.path"])


def _stored() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in _folder().iterdir()}


def _rows() -> list[str]:
    query = "SELECT array_agg(location ORDER BY location) FROM files_file WHERE storage = 'plain'"
    return look(query) or []


def _create(name: str, content: Any = b"old", **context: Any) -> str:
    data = {"name": name, "storage": "plain", "upload": content}
    return _call("file_create", data, **context)["id"]


def _delete(id_: str, **context: Any) -> None:
    _call("file_delete", {"id": id_}, **context)


def _call(action: str, data: dict[str, Any], **context: Any) -> Any:
    ours: Any = {"ignore_auth": True, **context}
    return tk.get_action(action)(ours, data)


def _within_an_action(do: Callable[[], Any]) -> Any:
    return tk.get_action("probe_eager")({}, {"do": lambda _: do()})


def test_commit() -> None:
    _create("a.txt")
    assert (_rows(), _stored()) == (["a.txt"], {"a.txt": b"old"})


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_rollback(undo: str) -> None:
    _create("a.txt", defer_commit=True)
    assert _stored()
    getattr(model.Session, undo)()
    assert (_rows(), _stored()) == ([], {})


def test_savepoint() -> None:
    _create("kept.txt", defer_commit=True)
    savepoint = model.Session.begin_nested()
    _create("undone.txt", defer_commit=True)
    savepoint.rollback()
    assert set(_stored()) == {"kept.txt"}
    model.Session.commit()
    assert (_rows(), set(_stored())) == (["kept.txt"], {"kept.txt"})


def test_action_that_fails() -> None:
    """The commit of ``file_create`` was only one of the action's."""

    def fail() -> None:
        _create("a.txt")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _within_an_action(fail)
    assert (_rows(), _stored()) == ([], {})


def test_inner_action_that_fails() -> None:
    def inner() -> None:
        _create("undone.txt")
        raise ZeroDivisionError

    def outer() -> None:
        _create("kept.txt")
        with pytest.raises(ZeroDivisionError):
            _within_an_action(inner)
        assert set(_stored()) == {"kept.txt"}

    _within_an_action(outer)
    assert (_rows(), set(_stored())) == (["kept.txt"], {"kept.txt"})


class _Interrupted(io.BytesIO):
    """An upload whose sender goes away after some bytes."""

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
        _create("a.txt", _Interrupted(error))
    model.Session.commit()  # whatever the caller does next
    assert (_rows(), _stored()) == ([], {})


def test_interrupted_upload_in_an_action_that_goes_on() -> None:
    def do() -> None:
        with pytest.raises(OSError, match="gone"):
            _create("a.txt", _Interrupted(OSError("gone")))
        _create("b.txt")

    _within_an_action(do)
    assert (_rows(), set(_stored())) == (["b.txt"], {"b.txt"})


def test_taken_location() -> None:
    """Whoever comes second gets an error, and the first one's bytes stay."""
    _create("a.txt")
    with pytest.raises(tk.ValidationError, match="already exists"):
        _create("a.txt", b"new")
    model.Session.rollback()
    assert _stored() == {"a.txt": b"old"}


def test_bytes_that_another_row_names_stay() -> None:
    """The location was free again when somebody else stored there."""
    _create("a.txt", defer_commit=True)
    rows: list[list[str]] = []

    def somebody_else_is_faster(*_: Any) -> None:
        with engine().begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO files_file (id, name, storage, location, hash, algorithm)"
                    " VALUES ('other', 'a.txt', 'plain', 'a.txt', '', '')"
                )
            )
        rows.append(_rows())

    on_rollback(somebody_else_is_faster)
    model.Session.rollback()
    assert rows == [["a.txt"]]
    assert _stored() == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("cut", "held"),
    [("before", True), ("after", True), ("hang", True), ("before", False), ("after", False)],
)
def test_lost_commit(cut: Any, held: bool) -> None:
    """Bytes stay if the commit has happened after all."""
    with session_through_proxy() as proxy:
        model.Session.execute(sa.text("SELECT 1"))

        def do() -> None:
            _create("a.txt", defer_commit=True)
            proxy.cut = cut
            model.Session.commit()

        try:
            with Block(eager=held):
                do()
        except DBAPIError:
            model.Session.rollback()
    expected = {"a.txt"} if cut == "after" else set[str]()
    assert (set(_rows()), set(_stored())) == (expected, expected)


def test_delete() -> None:
    id_ = _create("a.txt")
    _delete(id_)
    assert (_rows(), _stored()) == ([], {})


def test_delete_that_is_rolled_back() -> None:
    id_ = _create("a.txt")
    _delete(id_, defer_commit=True)
    assert _stored()
    model.Session.rollback()
    assert (_rows(), _stored()) == (["a.txt"], {"a.txt": b"old"})


def test_delete_within_an_action() -> None:
    """The bytes go after the commit, so that no row is ever without them."""
    ids = [_create("a.txt"), _create("b.txt")]

    def delete() -> None:
        _delete(ids[0])
        assert set(_stored()) == {"a.txt", "b.txt"}

    def fail() -> None:
        _delete(ids[1])
        raise ZeroDivisionError

    _within_an_action(delete)
    assert (_rows(), set(_stored())) == (["b.txt"], {"b.txt"})
    with pytest.raises(ZeroDivisionError):
        _within_an_action(fail)
    assert (_rows(), set(_stored())) == (["b.txt"], {"b.txt"})


def test_create_and_delete_in_one_transaction() -> None:
    _delete(_create("a.txt", defer_commit=True), defer_commit=True)
    model.Session.commit()
    assert (_rows(), _stored()) == ([], {})


@pytest.mark.parametrize("undo", [False, True])
def test_delete_and_create_in_one_transaction(undo: bool) -> None:
    """Before the commit the old row is there for others, and after a rollback for everybody.

    CKAN 2.12 allows it, and then the old row has the new bytes.
    """
    _delete(_create("a.txt"), defer_commit=True)
    with pytest.raises(tk.ValidationError, match="already exists"):
        _create("a.txt", b"new", defer_commit=True)
    assert (_rows(), _stored()) == (["a.txt"], {"a.txt": b"old"})
    if undo:
        model.Session.rollback()
        assert (_rows(), _stored()) == (["a.txt"], {"a.txt": b"old"})
    else:
        model.Session.commit()
        assert (_rows(), _stored()) == ([], {})
        _create("a.txt", b"new")
        assert (_rows(), _stored()) == (["a.txt"], {"a.txt": b"new"})


def test_location_that_the_own_transaction_keeps_locked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for the own transaction would wait for ever: it gives up and says so."""
    monkeypatch.setattr(removal, "LOCK_TIMEOUT", "100ms")
    _delete(_create("a.txt", defer_commit=True), defer_commit=True)
    savepoint = model.Session.begin_nested()
    _create("a.txt", b"new", defer_commit=True)
    with caplog.at_level(logging.ERROR, removal.__name__):
        savepoint.rollback()
    assert "keeps what no row names: a.txt" in caplog.text
    model.Session.commit()
    assert (_rows(), _stored()) == ([], {})


@pytest.mark.parametrize("location", ["./a.txt", ".//a.txt", "sub/../a.txt", "a.txt/", "{}/a.txt"])
def test_other_names_of_a_location(location: str) -> None:
    """A second row would share the bytes of the first, and take them along when it goes."""
    _create("a.txt")
    data = {"location": location.format(_folder()), "storage": "plain"}
    with pytest.raises(tk.ValidationError) as raised:
        _call("file_register", data)
    assert set(raised.value.error_dict) == {"location"}
    assert _rows() == ["a.txt"]


@pytest.mark.parametrize("location", ["sub", ".", ""])
def test_folder_is_no_file(location: str) -> None:
    (_folder() / "sub").mkdir()
    with pytest.raises(tk.ValidationError) as raised:
        _call("file_register", {"location": location, "storage": "plain"})
    assert set(raised.value.error_dict) == {"location"}


def test_register() -> None:
    (_folder() / "sub").mkdir()
    (_folder() / "sub" / "a.txt").write_bytes(b"old")
    data = {"location": "sub/a.txt", "storage": "plain"}
    file = _call("file_register", data)
    assert (file["location"], file["name"], file["size"]) == ("sub/a.txt", "a.txt", 3)
    assert _rows() == ["sub/a.txt"]
    with pytest.raises(tk.ValidationError, match="already registered"):
        _call("file_register", data)
    _delete(file["id"])
    assert (_rows(), list((_folder() / "sub").iterdir())) == ([], [])


def test_download_from_a_storage_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    app, file = _get_test_app(), _create("a.txt")
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    monkeypatch.setattr(get_storage("plain"), "capabilities", Capability.NONE)
    page = app.get(f"/file/download/{file}", headers={"Authorization": token})
    assert page.status_code == 422
    assert "File is not downloadable" in page.text


def test_storage_that_fails_to_remove(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is deleted all the same, and the log says what was left."""
    id_, called = _create("a.txt"), []

    def fail(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(storages.get("plain"), "remove", fail)
    on_commit(lambda: called.append(1))
    with caplog.at_level(logging.ERROR, removal.__name__):
        _delete(id_)
    assert _rows() == []
    assert "keeps what no row names: a.txt" in caplog.text
    assert "read-only" in caplog.text
    assert called


def test_upload_of_a_user() -> None:
    """A refusal after the upload, such as by the schema of a dataset, leaves nothing."""
    user = new_user()

    def fail() -> None:
        _create("a.txt", user=user)
        call("package_create", user, name="Not A Name")

    with pytest.raises(tk.ValidationError):
        _within_an_action(fail)
    assert (_rows(), _stored()) == ([], {})
