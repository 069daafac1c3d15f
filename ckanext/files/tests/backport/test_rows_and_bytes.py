"""No row without bytes, and no bytes without a row, whatever fails between the two.

A kill at any time may leave bytes without a row, but never a row without its bytes.
"""

from __future__ import annotations

import io
import logging
import os
import random
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from sqlalchemy.exc import DBAPIError

from ckanext.files.backport.storage import get_storage
from ckanext.files.filekeeper import removal
from ckanext.files.shared import on_commit
from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.crash import fork, kill_at_the_commit, kill_now, was_killed
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.plain_storage import (
    call,
    create,
    delete,
    folder,
    kept,
    rows,
    stored,
)
from ckanext.files.tests.support.probe_plugin import in_hold
from ckanext.files.tests.support.proxy import session_through_proxy
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction import Block, on_rollback


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_rollback(undo: str) -> None:
    id_ = create("a.txt")
    create("b.txt", defer_commit=True)
    delete(id_, defer_commit=True)
    assert set(stored()) == {"a.txt", "b.txt"}
    getattr(model.Session, undo)()
    assert kept() == {"a.txt": b"old"}


def test_inner_action_that_fails() -> None:
    def inner() -> None:
        create("undone.txt")
        raise ZeroDivisionError

    def outer() -> None:
        create("kept.txt")
        with pytest.raises(ZeroDivisionError):
            in_hold(inner)
        assert set(stored()) == {"kept.txt"}

    in_hold(outer)
    assert set(kept()) == {"kept.txt"}


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
    def upload_both() -> None:
        with pytest.raises(type(error)):
            create("a.txt", _Interrupted(error))
        create("b.txt")

    in_hold(upload_both)
    assert set(kept()) == {"b.txt"}
    with pytest.raises(type(error)):
        create("a.txt", _Interrupted(error))
    model.Session.commit()  # as the caller may do next
    assert set(kept()) == {"b.txt"}


def test_bytes_that_another_row_names_stay() -> None:
    """Another transaction reserved the location between the rollback and the removal."""
    create("a.txt", defer_commit=True)
    rows_at_rollback: list[list[str]] = []
    insert = (
        "INSERT INTO files_file (id, name, storage, location, hash, algorithm)"
        " VALUES ('other', 'a.txt', 'plain', 'a.txt', '', '')"
    )

    def insert_other_row(*_: Any) -> None:
        change(insert)
        rows_at_rollback.append(rows())

    on_rollback(insert_other_row)
    model.Session.rollback()
    assert rows_at_rollback == [["a.txt"]]
    assert kept() == {"a.txt": b"old"}


@pytest.mark.parametrize(
    ("cut", "held"),
    [("before", True), ("after", True), ("hang", True), ("before", False), ("after", False)],
)
def test_lost_commit(cut: Any, held: bool) -> None:
    """The bytes stay if PostgreSQL has committed."""
    with session_through_proxy() as proxy:
        model.Session.execute(sa.text("SELECT 1"))
        try:
            with Block(eager=held):
                create("a.txt", defer_commit=True)
                proxy.cut = cut
                model.Session.commit()
        except DBAPIError:
            model.Session.rollback()
    assert set(kept()) == ({"a.txt"} if cut == "after" else set())


def test_delete_within_an_action() -> None:
    """The bytes are removed after the commit, so that no row is ever without them."""
    ids = [create("a.txt"), create("b.txt")]

    def delete_first() -> None:
        delete(ids[0])
        assert set(stored()) == {"a.txt", "b.txt"}

    def fail() -> None:
        delete(ids[1])
        raise ZeroDivisionError

    in_hold(delete_first)
    assert set(kept()) == {"b.txt"}
    with pytest.raises(ZeroDivisionError):
        in_hold(fail)
    assert set(kept()) == {"b.txt"}


def test_create_and_delete_in_one_transaction() -> None:
    delete(create("a.txt", defer_commit=True), defer_commit=True)
    model.Session.commit()
    assert kept() == {}


@pytest.mark.parametrize("undo", [False, True])
def test_delete_and_create_in_one_transaction(undo: bool) -> None:
    """A rollback brings the old row back."""
    delete(create("a.txt"), defer_commit=True)
    with pytest.raises(tk.ValidationError, match="already exists"):
        create("a.txt", b"new", defer_commit=True)
    assert kept() == {"a.txt": b"old"}
    if undo:
        model.Session.rollback()
        assert kept() == {"a.txt": b"old"}
    else:
        model.Session.commit()
        assert kept() == {}
        create("a.txt", b"new")
        assert kept() == {"a.txt": b"new"}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_more_uploads_than_the_pool_has_connections(end: str) -> None:
    """They end at once: none needs a second connection while it has one, and so waits for others.

    Three uploads have all connections when each looks whether its location is taken.
    """
    small = sa.create_engine(engine().url, pool_size=2, max_overflow=1, pool_timeout=5)
    all_connected = threading.Barrier(3)

    def upload(number: int) -> None:
        try:
            model.Session.execute(sa.text("SELECT 1"))
            if number < 3:
                all_connected.wait(30)
            create(f"{number}.txt", defer_commit=True)
            if number < 3:
                all_connected.wait(30)
            getattr(model.Session, end)()
        finally:
            model.Session.remove()

    model.Session.remove()
    model.Session.configure(bind=small)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(upload, range(8)))  # raises what one of them has raised
    finally:
        model.Session.remove()
        model.Session.configure(bind=engine())
        small.dispose()
    assert set(kept()) == ({f"{number}.txt" for number in range(8)} if end == "commit" else set())


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


def test_register() -> None:
    """Under another name a second row would share the bytes, and its deletion would remove them."""
    (folder() / "sub").mkdir()
    (folder() / "sub" / "a.txt").write_bytes(b"old")
    data = {"location": "sub/a.txt", "storage": "plain"}
    file = call("file_register", data)
    assert (file["location"], file["name"], file["size"]) == ("sub/a.txt", "a.txt", 3)
    with pytest.raises(tk.ValidationError, match="already registered"):
        call("file_register", data)
    other_names = ("./sub/a.txt", "sub//a.txt", "sub/../sub/a.txt", f"{folder()}/sub/a.txt")
    for location in (*other_names, "sub/a.txt/", "sub", ".", ""):
        with pytest.raises(tk.ValidationError) as raised:
            call("file_register", {**data, "location": location})
        assert set(raised.value.error_dict) == {"location"}
        assert rows() == ["sub/a.txt"]
    delete(file["id"])
    assert (rows(), list((folder() / "sub").iterdir())) == ([], [])


@pytest.mark.crash
def test_upload_is_killed_before_the_commit() -> None:
    assert was_killed(fork(lambda: (kill_at_the_commit(), create("a.txt"))))
    assert not rows()
    assert len(stored()) == 1


@pytest.mark.crash
@pytest.mark.parametrize("held", [True, False])
def test_delete_is_killed_before_the_commit(held: bool) -> None:
    id_ = create("a.txt")

    def delete_file() -> None:
        kill_at_the_commit()
        in_hold(lambda: delete(id_)) if held else delete(id_)

    assert was_killed(fork(delete_file))
    assert kept() == {"a.txt": b"old"}


@pytest.mark.crash
def test_delete_is_killed_after_the_commit() -> None:
    id_ = create("a.txt")
    assert was_killed(fork(lambda: (on_commit(kill_now), delete(id_))))
    assert not rows()
    assert len(stored()) == 1


@pytest.mark.crash
def test_killed_at_any_time(full_size: bool, record_property: Any) -> None:
    kills = 100 if full_size else 10
    reader, done = os.pipe()
    for number in range(kills):
        pid = fork(lambda number=number: _work(random.Random(number), done))
        for _ in range(random.randint(5, 15)):
            os.read(reader, 1)
        time.sleep(random.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert was_killed(pid)
        wait_for_the_dead()
        assert not _named() - _stored()
    left = _stored() - _named()
    assert len(left) <= kills
    code, said = run("check", "plain")
    assert code == bool(left)
    assert {line for line in said.splitlines() if "\t" in line} == {f"plain\t{f}" for f, _ in left}
    assert len(_named()) >= kills
    record_property("bytes_without_a_row", len(left))


def _named() -> set[tuple[str, int]]:
    """Return location and size of each committed row."""
    query = "SELECT json_object_agg(location, size) FROM files_file WHERE storage = 'plain'"
    return set((look(query) or {}).items())


def _stored() -> set[tuple[str, int]]:
    return {(name, len(content)) for name, content in stored().items()}


def _upload(chance: random.Random) -> str:
    return create(f"{uuid.uuid4()}.txt", b"x" * chance.randint(1, 1000))


def _work(chance: random.Random, done: int) -> None:
    _upload(chance)  # this one stays
    mine: list[str] = []

    def keep() -> None:
        mine.append(_upload(chance))

    def remove() -> None:
        if mine:
            delete(mine.pop())

    def fail() -> None:
        _upload(chance)
        if mine:
            delete(mine[-1])
        raise ZeroDivisionError

    def roll_back() -> None:
        with pytest.raises(ZeroDivisionError):
            in_hold(fail)
        model.Session.remove()

    while True:
        chance.choice([keep, lambda: in_hold(keep), roll_back, remove])()
        os.write(done, b".")
