"""Where a storage is a cloud: bytes without times, and streams that cannot be read twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import (
    delete_unattached,
    move_storage,
    remove_strays,
    report_missing,
    verify_checksums,
)
from ckanext.files.store.storages import FileData, get_storage, make_upload
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.load_plugins import s3_options, storage_options
from ckanext.files.tests.support.users import call, new_user


@pytest.fixture(scope="module", autouse=True)
def loaded(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A storage ``cloud`` beside the others; another one has the same bucket and lies in it."""
    options = {"type": "files:s3", **s3_options(s3, "maintenance")}
    cloud = storage_options("cloud", **options) | storage_options("below", **options, path="below")
    with site.loaded_with(tmp_path_factory.mktemp("maintenance"), **cloud):
        yield


@pytest.fixture(autouse=True)
def empty(loaded: None) -> Iterator[None]:
    yield
    cloud = get_storage("cloud")
    for location in list(cloud.scan()):
        cloud.remove(FileData(location))


def _keys() -> list[str]:
    return sorted(get_storage("cloud").scan())


def _location(file_id: str) -> Any:
    return site.row(file_id)["location"]


def test_to_and_fro(tasks: TasksManager) -> None:
    user = new_user(sysadmin=True)
    contents = {site.upload(user, each): each for each in (b"", b"hello", b"x" * 1_000_000)}
    assert site.run(tasks, move_storage, "here", "cloud", dry_run=False) == "3 moved"
    site.run_put_off_jobs(tasks)
    assert site.stored("here") == {}
    assert len(_keys()) == 3
    assert site.run(tasks, verify_checksums, ["cloud"]) == "3 verified"
    assert site.run(tasks, report_missing, ["cloud"]) == "3 with their bytes"
    assert site.run(tasks, move_storage, "cloud", "there", dry_run=False) == "3 moved"
    site.run_put_off_jobs(tasks)
    assert {id_: site.path_of(id_).read_bytes() for id_ in contents} == contents
    assert _keys() == []


def test_damaged_and_missing(tasks: TasksManager) -> None:
    user = new_user(sysadmin=True)
    cloud = get_storage("cloud")
    damaged, lost, sound = (site.upload(user, storage="cloud", name=name) for name in "abc")
    cloud.upload(_location(damaged), make_upload(b"hellO"))
    cloud.remove(FileData(_location(lost)))
    said = site.run(tasks, verify_checksums, ["cloud"])
    assert said == "1 verified, 1 damaged, 1 missing"
    assert site.run(tasks, report_missing, ["cloud"]) == "1 missing, 2 with their bytes"
    said = site.run(tasks, move_storage, "cloud", "here", dry_run=False)
    assert set(said.split(", ")) == {"1 moved", "1 damaged", "1 missing", "2 left in cloud"}
    assert site.path_of(sound).read_bytes() == b"hello"
    for id_ in (damaged, lost):
        call("file_delete", None, id=id_)


def test_strays_and_deletion(tasks: TasksManager) -> None:
    file = site.upload(storage="cloud")
    for storage, location in (("cloud", "left"), ("cloud", "again"), ("below", "theirs")):
        get_storage(storage).upload(location, make_upload(b"left"))
    assert site.run(tasks, remove_strays, ["cloud"], dry_run=False) == "2 to be looked at again"
    get_storage("cloud").upload("again", make_upload(b"another upload"))
    site.run_put_off_jobs(tasks)
    assert _keys() == sorted([_location(file), "again", "below/theirs"])
    assert site.run(tasks, delete_unattached, storages=["cloud"], dry_run=False) == "1 deleted"
    assert _keys() == ["again", "below/theirs"]
