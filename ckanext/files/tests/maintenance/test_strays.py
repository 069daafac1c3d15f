"""Bytes without a row are removed, if they are seen twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from ckan.common import config

from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.capabilities import CORE_FILES
from ckanext.files.maintenance import strays
from ckanext.files.maintenance.strays import Stray, find, remove_again_seen
from ckanext.files.maintenance.tasks import move_storage, remove_strays
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import get_storage, make_upload, storages
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.load_plugins import storage_options
from ckanext.files.uploads import find_stray_bytes


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    core = storage_options("core", type="ckan:fs", path=tmp_path_factory.mktemp("core"))
    memory = storage_options("memory", type="ckan:memory")
    with site.loaded_with(tmp_path_factory.mktemp("maintenance"), **core, **memory):
        yield


def _leave(name: str, content: str = "left", storage: str = "here") -> Path:
    path = site.folder_of(storage) / name
    path.write_text(content)
    return path


@pytest.mark.parametrize("storage", ["here", "core"])
def test_removed_when_seen_again(tasks: TasksManager, storage: str) -> None:
    """Also with a name that begins with a dot."""
    file, strays = site.upload(), [_leave(name, storage=storage) for name in ("left", ".csv")]
    said = site.run(tasks, remove_strays, [storage], hours=1, dry_run=False)
    assert said == "2 to be looked at again"
    tasks.run_pending_jobs()
    [job] = tasks.pending_jobs
    assert all(stray.exists() for stray in strays)
    site.run_put_off_jobs(tasks)
    assert site.outcome(job["id"])[:2] == ("succeeded", "2 removed")
    assert not any(stray.exists() for stray in strays)
    assert site.path_of(file).exists()


def test_all_storages_but_those_of_ckan(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config, "ckan.files.default_storages.user", "there")

    def find() -> tuple[Any, int]:
        job = remove_strays.delay()
        tasks.run_pending_jobs()
        number = str(site.outcome(job.id)[1]).split()[0]
        return job, int(number) if number.isdigit() else 0

    _, before = find()  # other tests may have left some in the default storage
    for storage in ("here", "there"):
        _leave("left", storage=storage)
    job, found = find()
    assert found == before + 1
    others = set(storages) - storages_of_ckan()
    assert "there" not in others
    assert site.steps_of(job.id) == len(others) + 1


def test_refused_storages(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, "ckan.files.default_storages.user", "there")
    _leave("left", storage="there")
    for storage in ("nowhere", "there"):
        error = site.error_of(tasks, remove_strays, ["here", storage], dry_run=False)
        assert "StorageRefusedError" in error
        assert storage in error


def _seen(storage: str = "here") -> list[Stray]:
    with engine().connect() as connection:
        return find(connection, storage)


def _look_again(strays: list[Stray], storage: str = "here") -> list[str]:
    return remove_again_seen(engine(), storage, strays)


def test_upload_that_is_committed_meanwhile() -> None:
    state = _leave("late").stat()
    seen = [Stray("late", f"{state.st_mtime_ns}:{state.st_size}")]
    assert _seen() == seen
    [id_] = portal.put(None)
    site.change(id_, storage="here", location="late")
    assert _look_again(seen) == []
    assert set(site.stored("here")) == {"late"}


@pytest.mark.parametrize(("content", "later"), [("other", 0), ("left", 1)])
def test_other_bytes_at_the_same_place(content: str, later: int) -> None:
    """A new upload may use the location again."""
    path = _leave("left")
    seen, written = _seen(), path.stat().st_mtime_ns
    _leave("left", content)
    os.utime(path, ns=(1, written + later))
    assert _look_again(seen) == []
    assert path.exists()


def test_copies_of_a_move_that_is_under_way(tasks: TasksManager) -> None:
    """They get their rows at the end of a step, however long it takes."""
    _leave("copy")
    site.run(tasks, remove_strays, ["here"], dry_run=False)
    job = move_storage.delay("there", "here")
    model.Session.commit()
    become = f"UPDATE {SCHEMA}.procrastinate_jobs SET status = '{{}}' WHERE id = {job.id}"
    change(become.format("doing"))
    site.run_put_off_jobs(tasks)
    assert set(site.stored("here")) == {"copy"}
    assert len(tasks.pending_jobs) == 1
    change(become.format("cancelled"))
    site.run_put_off_jobs(tasks)
    assert site.stored("here") == {}
    assert not tasks.pending_jobs


def test_name_that_is_no_text(caplog: pytest.LogCaptureFixture) -> None:
    path = os.fsencode(site.folder_of("here")) + b"/\xff.txt"
    Path(os.fsdecode(path)).touch()
    _leave("left")
    assert [stray.location for stray in _seen()] == ["left"]
    assert "'\\udcff.txt'" in caplog.text


def test_storage_that_knows_no_times() -> None:
    storage = get_storage("memory")
    for location, content in (("same", b"1"), ("other", b"1"), ("gone", b"1")):
        storage.upload(location, make_upload(content))
    seen = _seen("memory")
    assert len({stray.sight for stray in seen}) == 1
    storage.upload("other", make_upload(b"2"))
    storage.settings.bucket.pop("gone")
    assert _look_again(seen, "memory") == ["same"]
    assert list(storage.scan()) == ["other"]
    storage.settings.bucket.clear()


def test_folder_of_another_storage(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was free when it was looked at first."""
    inner = site.folder_of("here") / "inner"
    inner.mkdir()
    try:
        path = _leave("inner/left")
        seen = _seen()
        assert [stray.location for stray in seen] == ["inner/left"]
        monkeypatch.setattr(get_storage("there").settings, "path", str(inner))
        assert _look_again(seen) == []
        assert path.exists()
    finally:
        (inner / "left").unlink()
        inner.rmdir()


@pytest.mark.parametrize(
    ("option", "folder", "spool"),
    [
        ("ckan.storage_path", "", "files_uploads"),
        ("ckanext.files.uploads.path", "spool", "spool"),
    ],
)
def test_upload_that_is_paused(
    option: str, folder: str, spool: str, tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for days. A storage may have the folder of CKAN's storage path."""
    here = site.folder_of("here")
    (here / spool).mkdir()
    _leave(f"{spool}/left")
    seen = _seen()
    monkeypatch.setitem(config, option, str(here / folder))
    _, path = site.begin_upload()
    try:
        assert path.parent == here / spool
        assert [len(seen), _seen(), _look_again(seen)] == [1, [], []]
        site.run(tasks, remove_strays, ["here"], hours=1, dry_run=False)
        site.run_put_off_jobs(tasks)
        assert path.read_bytes() == b"123"
        assert find_stray_bytes() == []
    finally:
        change("DELETE FROM files_upload")


def test_many(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job looks at some of them."""
    monkeypatch.setattr(strays, "_MAX_STRAYS_OF_JOB", 5)
    for number in range(11):
        _leave(f"left-{number}")
    site.run(tasks, remove_strays, ["here"], dry_run=False)
    args: Any = [job["args"] for job in tasks.pending_jobs]
    assert [len(each["strays"]) for each in args] == [5, 5, 1]
    site.run_put_off_jobs(tasks)
    assert site.stored("here") == {}


OTHER_PATHS = [("here", path) for path in ("./left", ".//left", "d/./left", "d//left")]
if CORE_FILES:  # only storages of core take these for locations
    OTHER_PATHS += [("core", path) for path in ("d/../left", "{}/left", "{}/.//left")]


@pytest.mark.parametrize(("storage", "path"), OTHER_PATHS)
def test_row_that_names_it_by_another_path(storage: str, path: str) -> None:
    folder = site.folder_of(storage)
    location = path.format(folder)
    (folder / "d").mkdir()
    stray = _leave(location, storage=storage)
    [seen] = _seen(storage)
    [id_] = portal.put(None)
    site.change(id_, storage=storage, location=location)
    assert _seen(storage) == []
    assert _look_again([seen], storage) == []
    assert stray.exists()
    site.change(id_, location=f"{location}-not")
    assert _look_again([seen], storage) == [seen.location]
    portal.delete_file(id_)
    (folder / "d").rmdir()
