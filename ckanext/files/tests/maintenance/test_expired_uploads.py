"""The task that removes expired uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import remove_expired_uploads
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.users import new_user
from ckanext.files.uploads.options import spool_folder
from ckanext.files.uploads.table import UploadRow, create_upload, transaction


@pytest.fixture(autouse=True)
def no_uploads() -> Iterator[None]:
    change("DELETE FROM files_upload")
    yield
    change("DELETE FROM files_upload")


def _upload(storage: str = "here") -> tuple[UploadRow, Path]:
    user: Any = model.User.get(new_user())
    values = {"user_id": user.id, "storage": storage, "name": "a.txt", "metadata": "", "size": 9}
    with transaction() as connection:
        upload = create_upload(connection, {**values, "is_stored": False})
    spool_folder().mkdir(exist_ok=True)
    path = spool_folder() / upload.id
    path.write_bytes(b"123")
    return upload, path


def test_task(tasks: TasksManager) -> None:
    assert site.run(tasks, remove_expired_uploads) == "nothing to do"
    (old, old_path), (lost, _), (_, new_path) = _upload(), _upload("gone"), _upload()
    for upload in (old, lost):
        change("UPDATE files_upload SET expires = now() WHERE id = :id", id=upload.id)
    assert site.run(tasks, remove_expired_uploads) == "1 removed, 1 left, see the log"
    assert [old_path.exists(), new_path.exists()] == [False, True]
    assert look("SELECT count(*) FROM files_upload") == 2
    new_path.unlink()
