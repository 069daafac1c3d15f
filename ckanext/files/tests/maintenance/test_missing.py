"""Rows without bytes are reported, and stay."""

from __future__ import annotations

import logging

import pytest
from ckan import model

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance import batches
from ckanext.files.maintenance.missing import find_missing
from ckanext.files.maintenance.selection import Selection, in_storages
from ckanext.files.maintenance.tasks import report_missing
from ckanext.files.tests.support.maintained_site import (
    change,
    path_of,
    row,
    run,
    steps_of,
    upload,
    uploads,
)

OURS = ["here", "there", "nowhere"]


def test_missing(tasks: TasksManager, caplog: pytest.LogCaptureFixture) -> None:
    lost, strange, there, unknown = (upload() for _ in range(4))
    path_of(lost).unlink()
    change(strange, location="../../x")
    change(unknown, storage="nowhere")
    with caplog.at_level(logging.INFO, batches.__name__):
        said = run(tasks, report_missing, OURS)
    assert said == "2 missing, 1 there, 1 cannot be asked for"
    assert f"missing: {lost} in here" in caplog.text
    assert there not in caplog.text
    assert all(map(row, (lost, strange, there, unknown)))


def test_a_step_a_batch(tasks: TasksManager) -> None:
    uploads(5, storage="there")
    job = report_missing.delay(["there"], batch=2)
    tasks.run_pending_jobs()
    assert steps_of(job.id) == 3
    assert run(tasks, report_missing, ["there"], batch=2) == "5 there"


def test_deleted_or_moved_meanwhile() -> None:
    """A file is not missing if its row names another place by now."""
    files = Selection(in_storages(["here"]))
    gone, moved, lost = (upload() for _ in range(3))
    page = files.page(model.Session(), "", 9)
    for file in (gone, moved, lost):
        path_of(file).unlink()
    change(gone, storage="nowhere")
    change(moved, location="elsewhere")
    assert [file.id for file in find_missing(model.Session(), page)] == [lost]
