"""Reading, locking and moving owners: statements, locks, and what the session knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.store import File, FileRecord, Move, Owner, give, lock, read
from ckanext.files.tests import portal
from ckanext.files.tests.effects import engine, statements
from ckanext.files.tests.portal import history, owner, put

A, B = Owner("package", "a"), Owner("resource", "b")


@pytest.fixture
def session() -> Iterator[Any]:
    yield model.Session()
    model.Session.rollback()


def move(session: Any, ids: list[str], to: Owner, actor: str = "") -> None:
    files = lock(session, ids)
    moves = [Move(file, to, True) for file in files.values()]
    assert give(session, moves, actor) == set()


def test_read(session: Any) -> None:
    ids = [*put(A, pinned=True), *put(B), *put(None)]
    assert read(session, [*ids, "nix"]) == {
        ids[0]: FileRecord(ids[0], A, True),
        ids[1]: FileRecord(ids[1], B, False),
        ids[2]: FileRecord(ids[2], None, False),
    }
    assert read(session, []) == {}


def test_give(session: Any) -> None:
    owned, same, free, other = *put(B), *put(A), *put(None), *put(B)
    files = [owned, same, free]
    move(session, files, A, actor="somebody")
    assert owner(owned) == (*B, False)
    session.commit()
    assert portal.owners(*files, other) == [(*A, True)] * 3 + [(*B, False)]
    assert history(owned) == [(*B, "somebody")]
    assert history(same) == history(free) == []


def test_history_looks_as_cores_does(session: Any) -> None:
    (file,) = put(B)
    move(session, [file], A, actor="somebody")
    session.commit()
    row = session.execute(
        sa.text("SELECT * FROM file_owner_transfer_history WHERE file_id = :id"), {"id": file}
    ).one()
    assert row.action == "transfer"
    assert len(row.id) == 36
    assert row.at.tzinfo


@pytest.mark.parametrize("count", [1, 1000])
def test_same_statements_for_any_number(session: Any, count: int) -> None:
    ids = put(B, count)
    session.rollback()
    with statements() as seen:
        read(session, ids)
    assert len(seen) == 1
    with statements() as seen:
        move(session, ids, A)
    assert len(seen) == 3
    session.commit()
    assert set(portal.owners(*ids)) == {(*A, True)}


def test_mapped_objects_are_read_anew(session: Any) -> None:
    owned, free = *put(B), *put(None)
    items = [session.get(File, id_) for id_ in (owned, free)]
    assert [item.owner and item.owner.owner_id for item in items] == ["b", None]
    move(session, [owned, free], A)
    assert [item.owner.owner_id for item in items] == ["a", "a"]
    assert items[0].owner.pinned
    # a change by others, seen under the lock
    session.commit()
    with engine().begin() as other:
        other.execute(
            sa.text("UPDATE file_owner SET owner_id = 'x' WHERE file_id = :id"), {"id": owned}
        )
    assert items[0].owner.owner_id == "a"
    assert lock(session, [owned])[owned].owner == Owner("package", "x")
    assert items[0].owner.owner_id == "x"


def test_pending_changes_of_mapped_objects_are_kept(session: Any) -> None:
    (file,) = put(B)
    item = session.get(File, file)
    item.name = "renamed.txt"
    item.owner.pinned = True
    assert lock(session, [file])[file].pinned
    assert item.name == "renamed.txt"
    session.commit()
    assert owner(file) == (*B, True)


def _in_thread(call: Any) -> tuple[threading.Thread, list[Any]]:
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            model.Session.remove()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, result


def _wait_until_blocked() -> None:
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    with engine().connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(1000):
            if connection.execute(query).scalar():
                return
            threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def test_who_has_waited_sees_what_the_other_has_done(session: Any) -> None:
    (file,) = put(B)
    files = lock(session, [file])
    thread, result = _in_thread(lambda: lock(model.Session(), [file]))
    _wait_until_blocked()
    give(session, [Move(files[file], A, True)], "")
    session.commit()
    thread.join(10)
    assert result == [{file: FileRecord(file, A, True)}]


def test_two_who_want_a_file_without_an_owner(session: Any) -> None:
    (file,) = put(None)
    files = lock(session, [file])

    def take() -> set[str]:
        now = lock(model.Session(), [file])[file]
        return give(model.Session(), [Move(now, B, True)], "")

    thread, result = _in_thread(take)
    _wait_until_blocked()
    assert give(session, [Move(files[file], A, True)], "") == set()
    session.commit()
    thread.join(10)
    assert result == [{file}]
    assert owner(file) == (*A, True)


def test_cores_own_transfer_of_a_file_without_an_owner(session: Any) -> None:
    """It locks nothing: what it does while we decide is seen, and there is no circle."""
    (file,) = put(None)
    files = lock(session, [file])
    with engine().begin() as other:
        other.execute(
            sa.text(
                "INSERT INTO file_owner (file_id, owner_type, owner_id, pinned)"
                " VALUES (:id, 'package', 'x', false)"
            ),
            {"id": file},
        )
        thread, result = _in_thread(lambda: give(model.Session(), [Move(files[file], A, True)], ""))
        _wait_until_blocked()
    thread.join(10)
    assert result == [{file}]
    assert owner(file) == ("package", "x", False)
    # the same when it has happened between reading and giving
    session.rollback()
    assert give(session, [Move(files[file], A, True)], "") == {file}
    now = lock(session, [file])[file]
    assert give(session, [Move(now, A, True)], "") == set()


def test_no_circle_with_somebody_who_deletes(session: Any) -> None:
    """CKAN deletes the row of the owner first, then that of the file."""
    (file,) = put(B)
    session.execute(sa.text("DELETE FROM file_owner WHERE file_id = :id"), {"id": file})
    thread, result = _in_thread(lambda: lock(model.Session(), [file]))
    _wait_until_blocked()
    session.execute(sa.text("DELETE FROM file WHERE id = :id"), {"id": file})
    session.commit()
    thread.join(10)
    assert result == [{}]


@pytest.mark.parametrize(("owner_", "table"), [(B, "file_owner"), (None, "file")])
def test_locks_of_many_files_are_taken_in_one_order(
    owner_: Owner | None, table: str, session: Any
) -> None:
    """Whatever the order in which they are named."""
    ids = sorted(put(owner_, 6))
    key = "file_id" if owner_ else "id"
    some = sa.text(f"SELECT {key} FROM {table} WHERE {key} = :id FOR UPDATE")
    session.execute(some, {"id": ids[2]})
    thread, result = _in_thread(lambda: list(lock(model.Session(), ids[::-1])))
    _wait_until_blocked()
    # the first two are locked, those behind the one that is waited for are not
    free = f"SELECT {key} FROM {table} WHERE {key} = ANY(:ids) ORDER BY 1 FOR UPDATE SKIP LOCKED"
    assert list(session.execute(sa.text(free), {"ids": ids}).scalars()) == ids[2:]
    session.commit()
    thread.join(10)
    assert sorted(result[0]) == ids


def test_owners_are_locked_before_files_without_one(session: Any) -> None:
    owned, free = *put(B), *put(None)
    session.execute(
        sa.text("SELECT 1 FROM file_owner WHERE file_id = :id FOR UPDATE"), {"id": owned}
    )
    thread, result = _in_thread(lambda: list(lock(model.Session(), [free, owned])))
    _wait_until_blocked()
    session.execute(sa.text("SELECT 1 FROM file WHERE id = :id FOR UPDATE NOWAIT"), {"id": free})
    session.commit()
    thread.join(10)
    assert set(result[0]) == {owned, free}
