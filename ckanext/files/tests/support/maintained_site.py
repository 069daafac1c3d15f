"""Files of all ages in two storages, and jobs that look after them."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config

from ckanext.files.background import Task, schema
from ckanext.files.background.testing import TasksManager
from ckanext.files.store.models import file_table, owner_table
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.jobs import let_time_pass
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.uploads.spool_folder import spool_folder
from ckanext.files.uploads.table import UploadRow, create_upload, transaction

OPTION = "ckan.files.storage"


@contextmanager
def loaded_with(folder: Path, **options: Any) -> Iterator[None]:
    """Load the plugins, with the storages ``here`` and ``there`` and further options of CKAN."""
    options["ckan.files.authenticated_uploads.storages"] = "default here"
    common = {"type": "files:fs", "initialize": "true", "location_transformers": "uuid4"}
    for name in ("here", "there"):
        options |= storage_options(name, path=folder / name, **common)
    with plugins_loaded("files", "files_background", **options):
        yield
    storages.reset()


def forget_files() -> None:
    """Delete the rows of all files, and the bytes in the two storages.

    Tasks look in all storages by default, and other tests leave files of all ages.
    """
    model.Session.remove()
    with engine().begin() as connection:
        connection.execute(file_table.delete())
    for name in ("here", "there"):
        for path in folder_of(name).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def folder_of(storage: str) -> Path:
    return Path(config[f"{OPTION}.{storage}.path"])


def upload(
    user: str | None = None,
    content: bytes = b"hello",
    *,
    name: str = "a.txt",
    storage: str = "here",
    days: float = 100,
) -> str:
    """Upload a file, some days ago; return its id."""
    user = user or new_user(sysadmin=True)
    id_ = call("file_create", user, name=name, upload=content, storage=storage)["id"]
    change(id_, created=sa.func.now() - sa.text(f"interval '{days} days'"))
    return id_


def begin_upload(storage: str = "here") -> tuple[UploadRow, Path]:
    """Make an upload of which only the first bytes have arrived; return it, and where they are."""
    user: Any = model.User.get(new_user())
    values = {"user_id": user.id, "storage": storage, "name": "a.txt", "metadata": "", "size": 9}
    with transaction() as connection:
        upload = create_upload(connection, {**values, "is_stored": False})
    spool_folder().mkdir(exist_ok=True)
    path = spool_folder() / upload.id
    path.write_bytes(b"123")
    return upload, path


def uploads(count: int, content: bytes = b"hello", **options: Any) -> list[str]:
    """Upload files of one user; return their ids in the order of a job."""
    user = new_user(sysadmin=True)
    return sorted(upload(user, content, **options) for _ in range(count))


def delete(file_id: str) -> None:
    """Delete a file, and its bytes after the commit."""
    context: Any = {"ignore_auth": True, "defer_commit": True}
    tk.get_action("file_delete")(context, {"id": file_id})
    model.Session.commit()


def change(file_id: str, **columns: Any) -> None:
    with engine().begin() as connection:
        connection.execute(file_table.update().where(file_table.c.id == file_id).values(**columns))
    model.Session.remove()


def attach(file_id: str, owner_type: str, owner_id: str, *, pin: bool = True) -> None:
    """Let a file belong to something, which it has done for ever."""
    with engine().begin() as connection:
        connection.execute(
            owner_table.update()
            .where(owner_table.c.file_id == file_id)
            .values(owner_type=owner_type, owner_id=owner_id, pinned=pin)
        )
    model.Session.remove()


def row(file_id: str) -> Any:
    """Return the committed row of a file as a dict; None if there is no row."""
    with engine().connect() as connection:
        found = connection.execute(sa.select(file_table).where(file_table.c.id == file_id))
        first = found.mappings().first()
        return dict(first) if first else None


def stored(storage: str) -> dict[str, bytes]:
    """Return the contents of all files in the folder of a storage, by locations."""
    return {path.name: path.read_bytes() for path in folder_of(storage).iterdir()}


def path_of(file_id: str) -> Path:
    file = row(file_id)
    return folder_of(file["storage"]) / file["location"]


def run(tasks: TasksManager, task: Task[Any], *args: Any, **kwargs: Any) -> str:
    """Run a job with all its steps; return the text of its progress."""
    job = task.delay(*args, **kwargs)
    tasks.run_pending_jobs()
    status, said, error = outcome(job.id)
    assert status == "succeeded", error
    return said


def error_of(tasks: TasksManager, task: Task[Any], *args: Any, **kwargs: Any) -> str:
    """Run a job that fails for good; return its error."""
    job = task.delay(*args, **kwargs)
    tasks.run_pending_jobs()
    status, _, error = outcome(job.id)
    assert status == "failed", error
    assert not tasks.pending_jobs
    return error


def outcome(job_id: int) -> tuple[str, str, str]:
    """Return a job's status, the text of its progress, and its error."""
    query = f"""
        SELECT ARRAY[status::text, coalesce(text, ''), coalesce(error, '')]
        FROM {schema.SCHEMA}.procrastinate_jobs LEFT JOIN {schema.SCHEMA}.files_job ON job_id = id
        WHERE id = :id
    """
    status, text, error = look(query, id=job_id)
    return status, text, error


def steps_of(job_id: int) -> int:
    query = f"SELECT coalesce(max(step), 0) FROM {schema.SCHEMA}.files_job WHERE job_id = :id"
    return look(query, id=job_id)


def intercept(
    patch: pytest.MonkeyPatch, storage: str, method: str, replacement: Callable[..., Any]
) -> None:
    """Replace a method of a storage by a function, which gets the original first."""
    target = get_storage(storage)
    patch.setattr(target, method, functools.partial(replacement, getattr(target, method)))


def run_put_off_jobs(tasks: TasksManager) -> None:
    """Run jobs that wait for a later time."""
    let_time_pass()
    tasks.run_pending_jobs()
