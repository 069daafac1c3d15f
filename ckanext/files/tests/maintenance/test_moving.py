"""Files move to another storage, and readers find them all the time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.copying import Copier
from ckanext.files.maintenance.moving import switch
from ckanext.files.maintenance.selection import Selection
from ckanext.files.maintenance.tasks import move_storage
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, exc, get_storage
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.maintained_site import (
    change,
    error_of,
    folder_of,
    intercept,
    make_all_due,
    outcome,
    owner_of,
    path_of,
    row,
    run,
    steps_of,
    stored,
    upload,
    uploads,
)
from ckanext.files.tests.support.users import call, new_user


def test_moved(tasks: TasksManager) -> None:
    user = new_user(sysadmin=True)
    contents = {upload(user, f"content {n}".encode(), name=f"{n}.txt"): n for n in range(5)}
    before = {id_: row(id_) for id_ in contents}
    owners = {id_: owner_of(id_) for id_ in contents}
    job = move_storage.delay("here", "there", dry_run=False, batch=2)
    tasks.run_pending_jobs()
    assert outcome(job.id)[:2] == ("succeeded", "5 moved")
    assert steps_of(job.id) == 3
    for id_, number in contents.items():
        assert path_of(id_).read_bytes() == f"content {number}".encode()
        now: Any = row(id_)
        assert now == {**(before[id_] or {}), "storage": "there", "location": now["location"]}
    assert {id_: owner_of(id_) for id_ in contents} == owners
    assert len(stored("there")) == 5


def test_old_bytes_go_later_and_back(tasks: TasksManager) -> None:
    file = upload()
    run(tasks, move_storage, "here", "there", dry_run=False, keep_seconds=600)
    assert len(stored("here")) == 1
    assert len(tasks.pending_jobs) == 1
    make_all_due(tasks)
    assert stored("here") == {}
    assert len(stored("there")) == 1
    assert run(tasks, move_storage, "here", "there", dry_run=False) == "nothing to do"
    assert run(tasks, move_storage, "there", "here", dry_run=False) == "1 moved"
    make_all_due(tasks)
    assert path_of(file).read_bytes() == b"hello"
    assert len(stored("here")) == 1
    assert stored("there") == {}


def test_refused_storages(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of files in a public storage contain storage and location."""
    path = path_of(upload())
    here, there = get_storage("here"), get_storage("there")

    def check_refused(said: str, source: str = "here", target: str = "there") -> None:
        for dry_run in (True, False):
            assert said in error_of(tasks, move_storage, source, target, dry_run=dry_run)

    check_refused("ckan.files.storage.nowhere.type", target="nowhere")
    check_refused("ckan.files.storage.nowhere.type", source="nowhere")
    check_refused("both source and target", target="here")
    for storage in (here, there):
        with monkeypatch.context() as patch:
            patch.setattr(storage.settings, "public", True)
            check_refused(f"The storage {storage.settings.name} is public")
    for storage, needed in ((here, "STREAM REMOVE"), (there, "CREATE STREAM REMOVE")):
        for name in needed.split():
            less = storage.capabilities.exclude(Capability[name])
            with monkeypatch.context() as patch:
                patch.setattr(storage, "capabilities", less)
                check_refused(
                    f"The storage {storage.settings.name} cannot do what is needed: it lacks {name}"
                )
    assert path.exists()
    assert stored("there") == {}


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the step stays, and it is tried again."""
    uploads(12)
    asked: list[Any] = []

    def fail_from_the_third_on(stream: Any, data: Any) -> Any:
        asked.append(data)
        if len(asked) > 2:
            raise OSError("away")
        return stream(data)

    with monkeypatch.context() as patch:
        intercept(patch, "here", "stream", fail_from_the_third_on)
        job = move_storage.delay("here", "there", dry_run=False)
        tasks.run_pending_jobs()
        assert outcome(job.id)[0] == "todo"
        assert "cannot be read any more: OSError: away" in outcome(job.id)[2]
        assert stored("there") == {}
    make_all_due(tasks)
    assert outcome(job.id)[:2] == ("succeeded", "12 moved")


def test_files_that_stay(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged, truncated, lost, large, image, sound = uploads(6)
    path_of(damaged).write_bytes(b"hellO")
    # the row of a file that a cloud got in parts has only the size
    change(truncated, hash="d41d8cd98f00b204e9800998ecf8427e-3")
    path_of(truncated).write_bytes(b"hel")
    path_of(lost).unlink()
    change(large, size=10**9)
    monkeypatch.setattr(get_storage("there").settings, "max_size", 10**6)
    change(image, content_type="image/png")
    monkeypatch.setattr(get_storage("there").settings, "supported_types", ["text/plain"])
    said = run(tasks, move_storage, "here", "there")
    assert set(said.split(", ")) == {"4 would be moved", "2 not accepted", "6 left in here"}
    said = run(tasks, move_storage, "here", "there", dry_run=False)
    counts = {"1 moved", "2 damaged", "1 missing", "2 not accepted", "5 left in here"}
    assert set(said.split(", ")) == counts
    assert path_of(sound).parent == folder_of("there")
    assert path_of(truncated).parent == folder_of("here")
    assert len(stored("there")) == 1


def test_target_that_writes_something_else(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step reads a copy again before a row names it."""
    file = upload()

    def spoil(store: Any, location: Any, upload: Any) -> Any:
        data = store(location, upload)
        (folder_of("there") / location).write_bytes(b"hellO")
        return data

    intercept(monkeypatch, "there", "upload", spoil)
    said = run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "1 damaged, 1 left in here"
    assert path_of(file).read_bytes() == b"hello"
    assert stored("there") == {}


def test_checksum_that_cannot_be_compared(tasks: TasksManager) -> None:
    """The file gets the checksum of its new storage."""
    file = upload()
    change(file, hash="", algorithm="")
    assert run(tasks, move_storage, "here", "there", dry_run=False) == "1 moved"
    now: Any = row(file)
    assert (now["algorithm"], now["hash"]) == ("md5", "5d41402abc4b2a76b9719d911017c592")


def test_place_that_is_taken(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage may choose the location by itself."""
    there, file = upload(storage="there", content=b"mine"), upload()
    taken = path_of(there).name
    monkeypatch.setattr(get_storage("there"), "prepare_location", lambda *_: taken)
    said = run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "1 not accepted, 1 left in here"
    assert path_of(there).read_bytes() == b"mine"
    assert path_of(file).read_bytes() == b"hello"


@pytest.mark.parametrize("error", [OSError("no space left"), exc.UploadError("no")])
def test_upload_that_fails_halfway(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An error that concerns all files ends the step, and nothing of the step stays."""
    ids = uploads(3)
    change(ids[-1], name="last.txt")

    def fail(store: Any, location: Any, upload: Any) -> Any:
        if upload.filename == "last.txt":
            (folder_of("there") / location).write_bytes(b"he")
            raise error
        return store(location, upload)

    with monkeypatch.context() as patch:
        intercept(patch, "there", "upload", fail)
        job = move_storage.delay("here", "there", dry_run=False)
        tasks.run_pending_jobs()
        if isinstance(error, OSError):
            assert outcome(job.id)[0] == "todo"
            assert stored("there") == {}
            assert all(path_of(id_).parent == folder_of("here") for id_ in ids)
        else:
            assert outcome(job.id)[1] == "1 not accepted, 2 moved, 1 left in here"
            assert len(stored("there")) == 2
    if isinstance(error, OSError):
        make_all_due(tasks)
        assert outcome(job.id)[:2] == ("succeeded", "3 moved")


def _copies(ids: list[str]) -> list[Any]:
    copier, session = Copier("here", "there"), model.Session()
    files = Selection([file_table.c.id.in_(ids)]).page(session, "", 9)
    return [copier.copy(session, file, lambda _: None) for file in files]


def test_changed_meanwhile() -> None:
    """A file that was deleted, moved, changed or locked stays as it is."""
    ids = uploads(5)
    copies = _copies(ids)
    call("file_delete", None, id=ids[0])
    change(ids[1], storage="nowhere")
    change(ids[2], hash="another")
    with engine().begin() as connection:
        busy = sa.select(file_table.c.id).where(file_table.c.id == ids[3]).with_for_update()
        connection.execute(busy)
        assert switch(model.Session(), "here", "there", copies) == {ids[4]}
        model.Session.commit()
    storages = [file and file["storage"] for file in map(row, ids)]
    assert storages == [None, "nowhere", "here", "here", "there"]


@pytest.mark.parametrize("when", ["before it is read", "after it is copied"])
def test_file_that_changes_meanwhile(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    file = upload()

    def delete_first(stream: Any, data: Any) -> Any:
        call("file_delete", None, id=file)
        return stream(data)

    def change_first(store: Any, location: Any, upload: Any) -> Any:
        change(file, hash="another")
        return store(location, upload)

    if when == "before it is read":
        intercept(monkeypatch, "here", "stream", delete_first)
        expected = "1 changed meanwhile"
    else:
        intercept(monkeypatch, "there", "upload", change_first)
        expected = "1 changed meanwhile, 1 left in here"
    assert run(tasks, move_storage, "here", "there", dry_run=False) == expected
    assert stored("there") == {}


def test_names_that_are_no_suffix(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"a.tar.gz": ".gz", "b": "", "c. d": "", "e.ä": "", "f." + "x" * 20: ""}
    user = new_user(sysadmin=True)
    ids = {upload(user, name=name): suffix for name, suffix in names.items()}
    for id_, name in zip(ids, names, strict=True):
        change(id_, name=name)
    monkeypatch.setattr(get_storage("there").settings, "location_transformers", [])
    run(tasks, move_storage, "here", "there", dry_run=False)
    assert [path_of(id_).suffix for id_ in ids] == list(ids.values())


class _Reader(threading.Thread):
    """Reads files all the time: the row first, and then the bytes that it names."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__()
        self._ids = ids
        self.stopping = threading.Event()
        self.reads = 0
        self.storages: set[str] = set()
        self.gaps: list[str] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            for id_ in self._ids:
                file = row(id_)
                assert file
                self.storages.add(file["storage"])
                # a slow reader
                self.stopping.wait(0.002)
                try:
                    with get_storage(file["storage"]).stream(FileData.from_dict(file)) as stream:
                        content = stream.read()
                except exc.MissingFileError:
                    content = b"nothing"
                if content != id_.encode():
                    self.gaps.append(id_)
                self.reads += 1


def test_readers_see_no_gap(tasks: TasksManager) -> None:
    ids = uploads(10)
    for id_ in ids:
        path_of(id_).write_bytes(id_.encode())
        change(id_, hash="", algorithm="", size=36)
    reader = _Reader(ids)
    reader.start()
    source, target = "here", "there"
    for _ in range(6):
        job = move_storage.delay(source, target, dry_run=False, batch=3)
        tasks.run_pending_jobs()
        assert outcome(job.id)[1] == "10 moved"
        source, target = target, source
    reader.stopping.set()
    reader.join()
    assert reader.reads > 20
    assert reader.storages == {"here", "there"}
    assert reader.gaps == []


def test_reader_who_is_slow(tasks: TasksManager) -> None:
    """The negative control: the old bytes exist only as long as they are kept."""
    for keep_seconds in (60, 0):
        file = row(upload())
        assert file
        run(tasks, move_storage, "here", "there", dry_run=False, keep_seconds=keep_seconds)
        assert get_storage("here").exists(FileData.from_dict(file)) == bool(keep_seconds)
