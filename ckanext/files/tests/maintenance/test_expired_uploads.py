"""The task that removes expired uploads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import remove_expired_uploads
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.effects import change, look


@pytest.fixture(autouse=True)
def no_uploads() -> Iterator[None]:
    change("DELETE FROM files_upload")
    yield
    change("DELETE FROM files_upload")


def test_task(tasks: TasksManager) -> None:
    assert site.run(tasks, remove_expired_uploads) == "nothing to do"
    (old, old_path), (lost, _), (_, new_path) = map(site.begin_upload, ("here", "gone", "here"))
    for upload in (old, lost):
        change("UPDATE files_upload SET expires = now() WHERE id = :id", id=upload.id)
    assert site.run(tasks, remove_expired_uploads) == "1 removed, 1 left, see the log"
    assert [old_path.exists(), new_path.exists()] == [False, True]
    assert look("SELECT count(*) FROM files_upload") == 2
    new_path.unlink()
