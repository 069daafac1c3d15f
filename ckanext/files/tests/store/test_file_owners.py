"""Reading and changing owners: statements, locks, and the objects of the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from hypothesis import example, given
from hypothesis import strategies as st

from ckanext.files.store import File, FileRecord, Owner, OwnerChange, change_owners, read_files
from ckanext.files.store.models import array_literal
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.portal import FILES, HISTORY, OWNERS, history, owner, put
from ckanext.files.tests.support.races import waiting

A, B = Owner("package", "a"), Owner("resource", "b")

TAKE = f"UPDATE {OWNERS} SET owner_id = 'x' WHERE file_id = :id"
OWN = (
    f"INSERT INTO {OWNERS} (file_id, owner_type, owner_id, pinned)"
    " VALUES (:id, 'package', 'x', false)"
)
DISOWN = f"DELETE FROM {OWNERS} WHERE file_id = :id"
DELETE = f"DELETE FROM {FILES} WHERE id = :id"


@pytest.fixture
def session() -> Iterator[Any]:
    yield model.Session()
    model.Session.rollback()


def move(ids: list[str], to: Owner, actor: str = "", *, pinned: bool = True) -> set[str]:
    """Change the owner of files as they are now; return the ids of those that did not change."""
    return change_as(read_files(model.Session(), ids), to, actor, pinned=pinned)


def change_as(
    files: dict[str, FileRecord], to: Owner, actor: str = "", *, pinned: bool = True
) -> set[str]:
    """Change the owner of files as they were; return the ids of those that did not change."""
    changes = dict.fromkeys(files, OwnerChange(to, pinned))
    return change_owners(model.Session(), files, changes, actor)


def execute(session: Any, sql: str, **parameters: Any) -> Any:
    return session.execute(sa.text(sql), parameters)


def commit_elsewhere(sql: str, file: str) -> int:
    """Run a statement about a file in another session; return the number of rows."""
    with engine().begin() as other:
        return execute(other, sql, id=file).rowcount


def test_read(session: Any) -> None:
    ids = [*put(A, pinned=True), *put(B), *put(None)]
    assert read_files(session, [*ids, "nix"]) == {
        ids[0]: FileRecord(ids[0], A, True),
        ids[1]: FileRecord(ids[1], B, False),
        ids[2]: FileRecord(ids[2], None, False),
    }
    assert read_files(session, []) == {}


def test_change_owners(session: Any) -> None:
    owned, same, free, other = *put(B), *put(A), *put(None), *put(B)
    assert move([owned, same, free], A, "editor") == set()
    assert owner(owned) == (*B, False)
    session.commit()
    assert portal.owners(owned, same, free, other) == [(*A, True)] * 3 + [(*B, False)]
    assert history(owned) == [(*B, "editor")]
    assert history(same) == history(free) == []
    assert change_owners(session, {}, {}, "") == set()
    # the history looks as CKAN's own does
    row = execute(session, f"SELECT * FROM {HISTORY} WHERE file_id = :id", id=owned).one()
    assert row.action == "transfer"
    assert len(row.id) == 36
    assert row.at.tzinfo


def test_each_to_its_own(session: Any) -> None:
    ids = [*put(A, 2), *put(None, 2)]
    changes = {id_: OwnerChange(Owner("user", f"of {id_}"), False) for id_ in ids}
    change_owners(session, read_files(session, ids), changes, "")
    session.commit()
    assert portal.owners(*ids) == [("user", f"of {id_}", False) for id_ in ids]


@pytest.mark.parametrize("count", [1, 1000])
def test_same_statements_for_any_number(session: Any, count: int) -> None:
    owned, free = put(B, count), put(None, count)
    session.rollback()
    for ids, expected in ((owned, 2), (free, 3)):
        with statements() as seen:
            move(ids, A)
        assert len(seen) == expected
    session.commit()
    assert set(portal.owners(*owned, *free)) == {(*A, True)}


# PostgreSQL accepts neither NUL nor half of a surrogate pair at all
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(st.lists(TEXT))
@example(["", " ", "NULL", "null", *"{},'\"\\\n", '\\"', "%(x)s", ":x", "é", "файл"])
@example([True, False])
def test_lists_reach_postgresql_as_they_are(values: list[Any]) -> None:
    sql = f"SELECT CAST(:values AS {'bool' if True in values else 'text'}[])"
    assert execute(model.Session, sql, values=array_literal(values)).scalar() == values


@pytest.mark.parametrize("owner_", [A, B, None])
@pytest.mark.parametrize(
    "sql",
    [
        TAKE,
        f"UPDATE {OWNERS} SET owner_type = 'x' WHERE file_id = :id",
        f"UPDATE {OWNERS} SET pinned = true WHERE file_id = :id",
        f"{OWN} ON CONFLICT (file_id) DO UPDATE SET owner_id = 'x'",
        DELETE,
    ],
    ids=["other id", "other type", "pinned", "owned", "deleted"],
)
def test_file_that_has_changed_is_left_alone(owner_: Owner | None, sql: str, session: Any) -> None:
    file, other = put(owner_, 2)
    files = read_files(session, [file, other])
    session.rollback()
    changed = commit_elsewhere(sql, file)
    now = owner(file)
    assert change_as(files, A) == ({file} if changed else set())
    session.commit()
    assert owner(other) == (*A, True)
    if changed:
        assert owner(file) == now
        assert history(file) == []


def test_mapped_objects_are_read_anew(session: Any) -> None:
    owned, free = *put(B), *put(None)
    items = [session.get(File, id_) for id_ in (owned, free)]
    assert [item.owner and item.owner.owner_id for item in items] == ["b", None]
    move([owned, free], A)
    assert [item.owner.owner_id for item in items] == ["a", "a"]
    assert items[0].owner.pinned
    # also what others have changed
    session.commit()
    files = read_files(session, [owned])
    commit_elsewhere(TAKE, owned)
    assert items[0].owner.owner_id == "a"
    assert change_as(files, B) == {owned}
    assert items[0].owner.owner_id == "x"


def test_pending_changes_of_mapped_objects_are_kept(session: Any) -> None:
    (file,) = put(B)
    item = session.get(File, file)
    item.name = "renamed.txt"
    item.owner.pinned = True
    assert read_files(session, [file])[file].pinned
    item.owner.pinned = False
    move([file], A)
    assert item.name == "renamed.txt"
    session.commit()
    assert owner(file) == (*A, True)


@pytest.mark.parametrize("owner_", [B, None])
@pytest.mark.parametrize("first_gives_up", [False, True])
def test_one_of_two_wins(owner_: Owner | None, first_gives_up: bool, session: Any) -> None:
    (file,) = put(owner_)
    files = read_files(session, [file])
    assert change_as(files, A) == set()
    with waiting(lambda: change_as(files, Owner("user", "c"))) as waits:
        session.rollback() if first_gives_up else session.commit()
    assert waits.result() == (set() if first_gives_up else {file})
    assert owner(file) == (("user", "c", True) if first_gives_up else (*A, True))


def test_a_change_that_changes_nothing(session: Any) -> None:
    """The transaction that has waited for it goes on with the newer version of the row."""
    (file,) = put(B)
    execute(session, f"UPDATE {OWNERS} SET pinned = pinned WHERE file_id = :id", id=file)
    with waiting(lambda: move([file], A)) as waits:
        session.commit()
    assert waits.result() == set()
    assert owner(file) == (*A, True)
    assert len(history(file)) == 1


def test_a_lost_file_is_locked(session: Any) -> None:
    """So that it can be decided again."""
    (file,) = put(B)
    files = read_files(session, [file])
    session.rollback()
    commit_elsewhere(TAKE, file)
    assert change_as(files, A) == {file}
    with waiting(lambda: execute(model.Session, TAKE, id=file)):
        assert move([file], A) == set()
        session.commit()


@pytest.mark.parametrize(("owner_", "deletes"), [(B, [DISOWN, DELETE]), (None, [DELETE, DISOWN])])
def test_no_circle_with_a_transaction_that_deletes(
    owner_: Owner | None, deletes: list[str], session: Any
) -> None:
    """CKAN deletes the row of the owner first, then the row of the file."""
    (file,) = put(owner_)
    execute(session, deletes[0], id=file)
    with waiting(lambda: move([file], A)) as waits:
        execute(session, deletes[1], id=file)
        session.commit()
    assert waits.result() == {file}


def test_no_circle_with_cores_own_transfer(session: Any) -> None:
    """It inserts an owner, and then takes the lock of the foreign key."""
    (file,) = put(None)
    files = read_files(session, [file])
    execute(session, OWN, id=file)
    with waiting(lambda: change_as(files, A)) as waits:
        session.commit()
    assert waits.result() == {file}
    assert owner(file) == ("package", "x", False)


@pytest.mark.parametrize(("owner_", "table"), [(B, OWNERS), (None, FILES)])
def test_locks_of_many_files_are_taken_in_one_order(
    owner_: Owner | None, table: str, session: Any
) -> None:
    ids = sorted(put(owner_, 6))
    key = "file_id" if owner_ else "id"
    execute(session, f"SELECT {key} FROM {table} WHERE {key} = :id FOR UPDATE", id=ids[2])
    with waiting(lambda: move(ids[::-1], A)) as waits:
        # the first two are locked, those behind the one that is waited for are not
        free = f"SELECT {key} FROM {table} WHERE {key} = ANY(:ids) ORDER BY 1"
        found = execute(session, f"{free} FOR UPDATE SKIP LOCKED", ids=ids).scalars()
        assert list(found) == ids[2:]
        session.commit()
    assert waits.result() == set()
