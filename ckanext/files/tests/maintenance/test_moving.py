"""Files move to another storage, and readers find them all the time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.advisory_locks import LOCATIONS
from ckanext.files.background.testing import TasksManager
from ckanext.files.filekeeper import locations
from ckanext.files.maintenance.tasks import move_storage
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, Location, exc, get_storage
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.races import busy_location
from ckanext.files.tests.support.users import new_user


def test_moved(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row keeps all but its place; the place keeps the suffix, if there is one."""
    monkeypatch.setattr(get_storage("there").settings, "location_transformers", [])
    suffixes = {
        "a.tar.gz": ".gz",
        "b": "",
        "c. d": "",
        "e.ä": "",
        ".csv": ".csv",
        "f." + "x" * 20: "",
    }
    user = new_user(sysadmin=True)
    ids = {site.upload(user, name.encode()): name for name in suffixes}
    for id_, name in ids.items():
        site.change(id_, name=name)
    before = {id_: site.row(id_) for id_ in ids}
    owners = portal.owners(*ids)
    job = move_storage.delay("here", "there", dry_run=False, batch=2)
    tasks.run_pending_jobs()
    assert site.outcome(job.id)[:2] == ("succeeded", "6 moved")
    assert site.steps_of(job.id) == 4
    for id_, name in ids.items():
        path = site.path_of(id_)
        assert path.read_bytes() == name.encode()
        assert path.suffix == suffixes[name]
        assert site.row(id_) == {**before[id_], "storage": "there", "location": path.name}
    assert portal.owners(*ids) == owners
    assert len(site.stored("there")) == 6


def test_old_bytes_go_later_and_back(tasks: TasksManager) -> None:
    file = site.upload()
    site.run(tasks, move_storage, "here", "there", dry_run=False, keep_seconds=600)
    assert len(site.stored("here")) == 1
    assert len(tasks.pending_jobs) == 1
    site.run_put_off_jobs(tasks)
    assert site.stored("here") == {}
    assert len(site.stored("there")) == 1
    assert site.run(tasks, move_storage, "here", "there", dry_run=False) == "nothing to do"
    said = site.run(tasks, move_storage, "there", "here", dry_run=False, keep_seconds=0)
    assert said == "1 moved"
    assert site.path_of(file).read_bytes() == b"hello"
    assert len(site.stored("here")) == 1
    assert site.stored("there") == {}


def test_location_that_another_transaction_uses(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the target chooses locations that clash, a move overwrites no upload."""
    file = site.upload()
    monkeypatch.setattr(get_storage("there"), "prepare_location", lambda *_, **__: Location("same"))
    monkeypatch.setattr(locations, "PATIENCE", 0.2)
    with busy_location("there", "same"):
        said = site.run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "1 not accepted, 1 left in here"
    assert site.stored("there") == {}
    assert site.path_of(file).read_bytes() == b"hello"


def test_unused_locations_need_no_lock(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a step with many files keeps no upload out."""
    locks: list[int | None] = []
    query = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND classid = :lock"

    def count(store: Any, location: Any, upload: Any) -> Any:
        found = model.Session.execute(sa.text(query), {"lock": LOCATIONS})
        locks.append(found.scalar())
        return store(location, upload)

    site.uploads(3)
    site.intercept(monkeypatch, "there", "upload", count)
    assert site.run(tasks, move_storage, "here", "there", dry_run=False) == "3 moved"
    assert locks == [0, 0, 0]


def test_refused_storages(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of files in a public storage contain storage and location."""
    path = site.path_of(site.upload())
    here, there = get_storage("here"), get_storage("there")

    def check_refused(said: str, source: str = "here", target: str = "there") -> None:
        for dry_run in (True, False):
            assert said in site.error_of(tasks, move_storage, source, target, dry_run=dry_run)

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
    assert site.stored("there") == {}


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the step stays, and it is tried again."""
    site.uploads(12)
    asked: list[Any] = []

    def fail_from_the_third_on(stream: Any, data: Any) -> Any:
        asked.append(data)
        if len(asked) > 2:
            raise OSError("away")
        return stream(data)

    with monkeypatch.context() as patch:
        site.intercept(patch, "here", "stream", fail_from_the_third_on)
        job = move_storage.delay("here", "there", dry_run=False)
        tasks.run_pending_jobs()
        assert site.outcome(job.id)[0] == "todo"
        assert "cannot be read any more: OSError: away" in site.outcome(job.id)[2]
        assert site.stored("there") == {}
    site.run_put_off_jobs(tasks)
    assert site.outcome(job.id)[:2] == ("succeeded", "12 moved")


def test_files_that_stay(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged, truncated, lost, large, image, sound = site.uploads(6)
    site.path_of(damaged).write_bytes(b"hellO")
    # the row of a file that a cloud got in parts has only the size
    site.change(truncated, hash="d41d8cd98f00b204e9800998ecf8427e-3")
    site.path_of(truncated).write_bytes(b"hel")
    site.path_of(lost).unlink()
    site.change(large, size=10**9)
    monkeypatch.setattr(get_storage("there").settings, "max_size", 10**6)
    site.change(image, content_type="image/png")
    monkeypatch.setattr(get_storage("there").settings, "supported_types", ["text/plain"])
    said = site.run(tasks, move_storage, "here", "there")
    assert set(said.split(", ")) == {"4 would be moved", "2 not accepted", "6 left in here"}
    said = site.run(tasks, move_storage, "here", "there", dry_run=False)
    counts = {"1 moved", "2 damaged", "1 missing", "2 not accepted", "5 left in here"}
    assert set(said.split(", ")) == counts
    assert site.path_of(sound).parent == site.folder_of("there")
    assert site.path_of(truncated).parent == site.folder_of("here")
    assert len(site.stored("there")) == 1


def test_target_that_writes_something_else(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step reads a copy again before a row names it."""
    file = site.upload()

    def spoil(store: Any, location: Any, upload: Any) -> Any:
        data = store(location, upload)
        (site.folder_of("there") / location).write_bytes(b"hellO")
        return data

    site.intercept(monkeypatch, "there", "upload", spoil)
    said = site.run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "1 damaged, 1 left in here"
    assert site.path_of(file).read_bytes() == b"hello"
    assert site.stored("there") == {}


def test_checksum_that_cannot_be_compared(tasks: TasksManager) -> None:
    """The file gets the checksum of its new storage."""
    file = site.upload()
    site.change(file, hash="", algorithm="")
    assert site.run(tasks, move_storage, "here", "there", dry_run=False) == "1 moved"
    now = site.row(file)
    assert (now["algorithm"], now["hash"]) == ("md5", "5d41402abc4b2a76b9719d911017c592")


def test_place_that_is_taken(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage may choose the location by itself."""
    there, file = site.upload(storage="there", content=b"mine"), site.upload()
    taken = site.path_of(there).name
    monkeypatch.setattr(get_storage("there"), "prepare_location", lambda *_: taken)
    said = site.run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "1 not accepted, 1 left in here"
    assert site.path_of(there).read_bytes() == b"mine"
    assert site.path_of(file).read_bytes() == b"hello"


def test_upload_that_fails_halfway(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that concerns all files ends the step, and nothing of the step stays."""
    ids = site.uploads(3)
    site.change(ids[-1], name="last.txt")
    errors: list[Exception] = [OSError("no space left"), exc.UploadError("no")]

    def fail(store: Any, location: Any, upload: Any) -> Any:
        if upload.filename == "last.txt":
            (site.folder_of("there") / location).write_bytes(b"he")
            raise errors.pop(0)
        return store(location, upload)

    site.intercept(monkeypatch, "there", "upload", fail)
    job = move_storage.delay("here", "there", dry_run=False)
    tasks.run_pending_jobs()
    assert site.outcome(job.id)[0] == "todo"
    assert site.stored("there") == {}
    assert all(site.path_of(id_).parent == site.folder_of("here") for id_ in ids)
    site.run_put_off_jobs(tasks)
    assert site.outcome(job.id)[1] == "1 not accepted, 2 moved, 1 left in here"
    assert len(site.stored("there")) == 2


def test_changed_meanwhile(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is deleted, moved, changed or locked while it is copied stays as it is."""
    gone, deleted, moved, changed, busy, sound = ids = site.uploads(6)
    locations = {site.row(id_)["location"]: id_ for id_ in ids}

    def change_first(stream: Any, data: Any) -> Any:
        id_ = locations[data.location]
        if id_ == gone:
            site.path_of(gone).unlink()
        if id_ in (gone, deleted):
            portal.delete_file(id_)
        site.change(moved, storage="nowhere")
        site.change(changed, hash="another")
        return stream(data)

    site.intercept(monkeypatch, "here", "stream", change_first)
    with engine().begin() as connection:
        lock = sa.select(file_table.c.id).where(file_table.c.id == busy).with_for_update()
        connection.execute(lock)
        said = site.run(tasks, move_storage, "here", "there", dry_run=False)
    assert said == "5 changed meanwhile, 1 moved, 2 left in here"
    storages = [file and file["storage"] for file in map(site.row, ids)]
    assert storages == [None, None, "nowhere", "here", "here", "there"]
    assert set(site.stored("there")) == {site.path_of(sound).name}


def test_readers_see_no_gap(tasks: TasksManager) -> None:
    """A reader reads the row first, and then the bytes that it names."""
    ids = site.uploads(10)
    for id_ in ids:
        site.path_of(id_).write_bytes(id_.encode())
        site.change(id_, hash="", algorithm="", size=36)
    moved, storages, gaps = threading.Event(), [], []

    def read_all() -> None:
        while not moved.is_set():
            for id_ in ids:
                file = site.row(id_)
                storages.append(file["storage"])
                moved.wait(0.002)  # a slow reader
                try:
                    with get_storage(file["storage"]).stream(FileData.from_dict(file)) as stream:
                        content = stream.read()
                except exc.MissingFileError:
                    content = b"nothing"
                if content != id_.encode():
                    gaps.append(id_)

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    source, target = "here", "there"
    for _ in range(6):
        assert site.run(tasks, move_storage, source, target, dry_run=False, batch=3) == "10 moved"
        source, target = target, source
    moved.set()
    reader.join()
    assert len(storages) > 20
    assert set(storages) == {"here", "there"}
    assert gaps == []
