"""Files whose storage keeps their names: each committed row has its own bytes.

Whatever another transaction stores, registers or removes at the same location at the same time,
and also if one transaction uses a location twice.
"""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.advisory_locks import LOCATIONS
from ckanext.files.capabilities import CORE_FILES
from ckanext.files.filekeeper import locations, removal
from ckanext.files.store.models import File, file_table
from ckanext.files.store.storages import FileData, Location, get_storage
from ckanext.files.tests.support.effects import engine, look, rows
from ckanext.files.tests.support.races import waiting
from ckanext.files.tests.support.users import new_user

STORAGES = pytest.mark.parametrize("storage", ["plain-files", "plain-core"])

EXISTS = {"upload": ["File already exists"]}
BUSY = {"upload": ["Another request stores a file of this name. Try again."]}
LEFT = (
    "The storage has something of this name that belongs to no file. Try again, or choose another "
    "name."
)

LOCKS = f"""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCATIONS}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
def name() -> Iterator[str]:
    """A name that no other test uses; what a test has not committed is rolled back."""
    yield f"{uuid.uuid4()}.txt"
    model.Session.remove()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction waits long for another one."""
    monkeypatch.setattr(locations, "PATIENCE", 0.5)


def create(name: str, content: bytes, storage: str = "own", **context: Any) -> str:
    data = {"name": name, "upload": content, "storage": storage}
    return act("file_create", data, **context)["id"]


def delete(id_: str, **context: Any) -> None:
    act("file_delete", {"id": id_}, **context)


def act(action: str, data: dict[str, Any], **context: Any) -> Any:
    ours: Any = {"ignore_auth": True, **context}
    return tk.get_action(action)(ours, data)


def refused(call: Callable[[], Any]) -> Any:
    with pytest.raises(tk.ValidationError) as raised:
        call()
    return raised.value.error_dict


def path_of(name: str, storage: str = "own") -> Path:
    return Path(get_storage(storage).settings.path) / name


def committed(name: str) -> list[str]:
    """Return the ids of the committed rows."""
    return [
        id_ for (id_,) in rows(f"SELECT id FROM {file_table} WHERE location = :name", name=name)
    ]


def in_thread(call: Callable[[], Any]) -> Any:
    [outcome] = in_threads(call)
    return outcome


def in_threads(*calls: Callable[[], Any]) -> list[Any]:
    """Call each in a session of its own, and commit it; return the results or the errors."""

    def run(call: Callable[[], Any]) -> Any:
        try:
            result = call()
            model.Session.commit()
            return result
        except tk.ValidationError as error:
            model.Session.rollback()
            return error.error_dict
        finally:
            model.Session.remove()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [each.result(60) for each in [threads.submit(run, call) for call in calls]]


# two transactions


@STORAGES
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_second_waits_for_the_first(name: str, storage: str, end: str) -> None:
    first = create(name, b"first", storage, defer_commit=True)
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(in_thread, lambda: create(name, b"second", storage))
        time.sleep(0.3)
        assert not second.done()
        assert path_of(name, storage).read_bytes() == b"first"
        getattr(model.Session, end)()
    if end == "commit":
        assert second.result() == EXISTS
        assert committed(name) == [first]
        assert path_of(name, storage).read_bytes() == b"first"
    else:
        assert committed(name) == [second.result()]
        assert path_of(name, storage).read_bytes() == b"second"


@STORAGES
def test_the_second_does_not_wait_for_ever(name: str, storage: str, short: None) -> None:
    create(name, b"first", storage, defer_commit=True)
    assert in_thread(lambda: create(name, b"second", storage)) == BUSY
    model.Session.commit()
    assert path_of(name, storage).read_bytes() == b"first"


@STORAGES
@pytest.mark.parametrize("round_", range(5))
def test_many_at_once(name: str, storage: str, round_: int) -> None:
    met, contents = threading.Barrier(4), [bytes([n]) * 300_000 for n in range(4)]

    def upload(content: bytes) -> Any:
        met.wait(30)
        return create(name, content, storage), content

    outcomes = in_threads(*(functools.partial(upload, content) for content in contents))
    [(id_, content)] = [outcome for outcome in outcomes if outcome != EXISTS]
    assert committed(name) == [id_]
    assert path_of(name, storage).read_bytes() == content


def test_two_names_in_opposite_order(name: str, short: None) -> None:
    """No deadlock: one of the two is refused, with an error, and can go on."""
    met, names = threading.Barrier(2), (f"a-{name}", f"b-{name}")

    def both(first: str, second: str, patience: float) -> Any:
        create(first, b"1", defer_commit=True)
        met.wait(30)
        time.sleep(patience)
        return create(second, b"2", defer_commit=True)

    outcomes = in_threads(lambda: both(*names, 0), lambda: both(names[1], names[0], 0.3))
    assert outcomes[0] == BUSY
    assert isinstance(outcomes[1], str)
    assert [path_of(each).read_bytes() for each in names] == [b"2", b"1"]


@STORAGES
def test_a_refused_transaction_goes_on(name: str, storage: str, short: None) -> None:
    create(name, b"first", storage, defer_commit=True)

    def both() -> Any:
        other = create(f"other-{name}", b"other", storage, defer_commit=True)
        assert refused(lambda: create(name, b"second", storage, defer_commit=True)) == BUSY
        return other

    other = in_thread(both)
    assert committed(f"other-{name}") == [other]


def test_who_may_not_upload_does_not_wait(name: str) -> None:
    create(name, b"first", defer_commit=True)
    user, began = new_user(), time.monotonic()
    with pytest.raises(tk.NotAuthorized):
        act(
            "file_create",
            {"name": name, "upload": b"", "storage": "own"},
            user=user,
            ignore_auth=False,
        )
    assert time.monotonic() - began < locations.PATIENCE


def test_a_storage_that_chooses_at_random_needs_no_lock(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_storage("own").settings, "location_transformers", ["uuid4"])
    create(name, b"", defer_commit=True)
    assert look(LOCKS) == 0


def test_a_storage_that_chooses_a_free_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It chooses for the second of two uploads when the first one has ended."""
    storage = get_storage("own")
    choose = storage.prepare_location

    def choose_free(location: str, *args: Any, **kwargs: Any) -> Any:
        chosen = choose(location, *args, **kwargs)
        return Location(f"1-{chosen}") if path_of(chosen).exists() else chosen

    monkeypatch.setattr(storage, "prepare_location", choose_free)
    with ThreadPoolExecutor(1) as thread:
        locations.lock_location(model.Session(), "own", name)
        second = thread.submit(in_thread, lambda: create(name, b"second"))
        time.sleep(0.3)
        create(name, b"first")
    assert committed(f"1-{name}") == [second.result()]
    assert path_of(f"1-{name}").read_bytes() == b"second"
    assert path_of(name).read_bytes() == b"first"


def test_few_transactions_wait(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them keeps a connection of the pool. The others are refused at once."""
    monkeypatch.setattr(locations, "PATIENCE", 2.0)
    refusals: list[float] = []

    def upload() -> None:
        began = time.monotonic()
        assert refused(lambda: create(name, b"second")) == BUSY
        refusals.append(time.monotonic() - began)

    create(name, b"first", defer_commit=True)
    in_threads(*[upload] * 12)
    assert sum(seconds < 1.5 for seconds in refusals) == 8
    model.Session.commit()
    assert in_thread(lambda: create(name, b"second")) == EXISTS


def test_many_locations_share_locks(name: str) -> None:
    """A transaction does not use up the memory that PostgreSQL has for all locks."""
    for number in range(6000):
        locations.lock_location(model.Session(), "own", f"{number}-{name}")
    assert 2000 < look(LOCKS) < 5000


def test_register_waits_for_an_upload(name: str) -> None:
    """Else the row would have the checksum of bytes that are about to be overwritten."""
    path_of(name).write_bytes(b"there before")
    id_ = create(name, b"uploaded", defer_commit=True)
    with ThreadPoolExecutor(1) as thread:
        place = {"location": name, "storage": "own"}
        other = thread.submit(in_thread, lambda: act("file_register", place))
        time.sleep(0.3)
        assert not other.done()
        model.Session.commit()
    assert other.result() == {"location": ["File is already registered"]}
    assert committed(name) == [id_]


def test_upload_waits_for_register(name: str) -> None:
    path_of(name).write_bytes(b"there before")
    act("file_register", {"location": name, "storage": "own"}, defer_commit=True)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(in_thread, lambda: create(name, b"uploaded"))
        time.sleep(0.3)
        assert not other.done()
        model.Session.commit()
    assert other.result() == EXISTS
    assert path_of(name).read_bytes() == b"there before"


@STORAGES
def test_removal_waits_for_an_upload(name: str, storage: str) -> None:
    """Bytes without a row may be about to get one: CKAN 2.12 writes it after them."""
    create(name, b"first", storage, defer_commit=True)
    data, place = FileData(Location(name)), get_storage(storage)

    def remove() -> bool:
        return removal.remove_unnamed(engine(), file_table, storage, place, data)

    with waiting(remove) as removed:
        model.Session.commit()
    assert not removed.result()
    assert path_of(name, storage).read_bytes() == b"first"


@STORAGES
def test_two_deletions(name: str, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one removes nothing: by then another file may have the location."""
    old, place, removed = create(name, b"old", storage), get_storage(storage), []
    remove = place.remove

    def count(data: Any, **kwargs: Any) -> Any:
        removed.append(data.location)
        return remove(data, **kwargs)

    monkeypatch.setattr(place, "remove", count)
    delete(old, defer_commit=True)
    with waiting(lambda: delete(old)) as second:
        model.Session.commit()
    with pytest.raises(tk.ObjectNotFound):
        second.result()
    assert removed == [name]
    assert not path_of(name, storage).exists()


@pytest.mark.skipif(not CORE_FILES, reason="the backport inserts its row before the bytes")
@pytest.mark.parametrize("title", [True, False])
def test_a_row_of_code_without_the_lock(
    name: str, title: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error about the file, not about the database."""
    storage, title_of = get_storage("own"), f"Title {name}" if title else name
    store = storage.upload

    def upload(location: Any, *args: Any, **kwargs: Any) -> Any:
        data = {"name": name, "storage": "own", "location": location, "id": str(uuid.uuid4())}
        with engine().begin() as connection:
            connection.execute(sa.insert(file_table).values({**data, "storage_data": {}}))
        return store(location, *args, **kwargs)

    monkeypatch.setattr(storage, "upload", upload)
    assert refused(lambda: create(title_of, b"a")) == EXISTS
    assert model.Session.execute(sa.select(1)).scalar() == 1


# one transaction


@STORAGES
def test_the_same_name_twice(name: str, storage: str) -> None:
    first = create(name, b"first", storage, defer_commit=True)
    assert refused(lambda: create(name, b"second", storage, defer_commit=True)) == EXISTS
    model.Session.commit()
    assert committed(name) == [first]
    assert path_of(name, storage).read_bytes() == b"first"


@STORAGES
def test_a_name_again_after_a_savepoint(name: str, storage: str) -> None:
    savepoint = model.Session.begin_nested()
    create(name, b"first", storage, defer_commit=True)
    model.Session.flush()
    savepoint.rollback()
    id_ = create(name, b"second", storage, defer_commit=True)
    model.Session.commit()
    assert committed(name) == [id_]
    assert path_of(name, storage).read_bytes() == b"second"


@STORAGES
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_delete_and_create(name: str, storage: str, end: str) -> None:
    """A rollback brings the deleted row back, which needs its bytes."""
    old = create(name, b"old", storage)
    delete(old, defer_commit=True)
    assert refused(lambda: create(name, b"new", storage, defer_commit=True)) == EXISTS
    getattr(model.Session, end)()
    if end == "rollback":
        assert committed(name) == [old]
        assert path_of(name, storage).read_bytes() == b"old"
    else:
        new = create(name, b"new", storage)
        assert committed(name) == [new]
        assert path_of(name, storage).read_bytes() == b"new"


def test_bytes_that_are_about_to_be_removed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no file of the name any more, and the storage does not overwrite its bytes."""
    monkeypatch.setattr(get_storage("own").settings, "overwrite_existing", False)
    outcomes: list[Any] = []
    wait = removal.wait_for_location

    def create_before(*place: Any) -> None:
        outcomes.append(in_thread(lambda: create(name, b"new")))
        wait(*place)

    delete(create(name, b"old"), defer_commit=True)
    monkeypatch.setattr(removal, "wait_for_location", create_before)
    model.Session.commit()
    assert outcomes == [{"upload": [LEFT]}]
    assert in_thread(lambda: create(name, b"new")) in committed(name)


def test_a_row_that_waits_in_the_session(name: str) -> None:
    """Code that makes a row by itself need not write it before the next file."""
    model.Session.add(File(name=name, storage="own", location=name))
    assert refused(lambda: create(name, b"second", defer_commit=True)) == EXISTS
    assert not path_of(name).exists()
