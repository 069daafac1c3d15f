"""A task refuses arguments that it does not take, and changes nothing unless it is asked to."""

from __future__ import annotations

from typing import Any

from ckanext.files.background import Task
from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import (
    delete_unattached,
    move_storage,
    remove_strays,
    report_missing,
    settle_abandoned,
    verify_checksums,
)
from ckanext.files.tests.support import maintained_site as site

_MOVE = {"source": "here", "target": "there"}


def test_dry_run_is_the_default(tasks: TasksManager) -> None:
    file = site.upload()
    (site.folder_of("here") / "stray").touch()
    before = site.row(file), site.stored("here"), site.stored("there")
    for task, arguments, said in (
        (delete_unattached, {}, "1 would be deleted"),
        (move_storage, _MOVE, "1 would be moved, 1 left in here"),
        (remove_strays, {"storages": ["here"]}, "1 without a row"),
    ):
        assert site.run(tasks, task, **arguments) == said
        assert (site.row(file), site.stored("here"), site.stored("there")) == before
    assert len(tasks.jobs) == 3


REFUSED: list[tuple[Task[Any], dict[str, Any], str]] = [
    # an unset variable of a shell deletes and moves nothing
    (delete_unattached, {"dry_run": ""}, "dry_run is '': give true or false"),
    (settle_abandoned, {"dry_run": None}, "dry_run is None"),
    (move_storage, {**_MOVE, "dry_run": 0}, "dry_run is 0"),
    (remove_strays, {"storages": ["here"], "hours": 0, "dry_run": "false"}, "dry_run is 'false'"),
    (delete_unattached, {"days": -1}, "days is -1: give a number from 0 to 36500"),
    (delete_unattached, {"days": "60"}, "days is '60'"),
    (settle_abandoned, {"give_to": 5}, "give_to is 5: give text"),
    (delete_unattached, {"batch": 0}, "batch is 0: give a whole number from 1 to 100000"),
    (settle_abandoned, {"batch": True}, "batch is True"),
    (report_missing, {"batch": -1}, "batch is -1"),
    (verify_checksums, {"batch": 1.5}, "batch is 1.5"),
    (verify_checksums, {"step_bytes": 0}, "step_bytes is 0"),
    (move_storage, {**_MOVE, "keep_seconds": 1e9}, "keep_seconds is 1000000000.0"),
    (move_storage, {"source": ["here"], "target": "there"}, "source is ['here']"),
    (remove_strays, {"hours": -1, "dry_run": False}, "hours is -1"),
    (remove_strays, {"storages": "here"}, "storages is 'here': give a list of names"),
    (verify_checksums, {"storages": "here"}, "storages is 'here'"),
    (verify_checksums, {"storages": ["heer"]}, "There is no storage heer, and no file in it"),
    (report_missing, {"storages": ["here", 1]}, "storages is ['here', 1]"),
    (delete_unattached, {"storages": None}, "storages is None"),
]


def test_refused(tasks: TasksManager) -> None:
    file = site.upload()
    (site.folder_of("here") / "stray").touch()
    for task, arguments, said in REFUSED:
        assert said in site.error_of(tasks, task, **arguments)
    assert site.row(file)
    assert len(site.stored("here")) == 2
