"""Removing bytes that no row names, at once or by a job after the commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.engine import Engine

from ckanext.files.background import task
from ckanext.files.filekeeper.removal import remove_unnamed
from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages
from ckanext.files.store.storages import Capability, exc, get_storage
from ckanext.files.store.stored import unnamed

from .batches import RETRY
from .errors import StorageRefusedError
from .selection import StoredFile, as_data

log = logging.getLogger(__name__)

_DATA = ("location", "size", "content_type", "hash", "storage_data")
_MAX_FILES_OF_JOB = 500


def storage_for(name: str, *needed: Any) -> Any:
    """Return a storage that has all needed capabilities.

    :raises StorageRefusedError: it lacks a capability, or is not configured.
    """
    try:
        storage = get_storage(name)
    except exc.UnknownStorageError as error:
        raise StorageRefusedError(f"There is no option ckan.files.storage.{name}.type") from error
    for capability in needed:
        if not storage.supports(capability):
            raise StorageRefusedError(
                f"The storage {name} cannot do what is needed: it lacks {capability.name}"
            )
    return storage


def can_remove(name: str) -> bool:
    """Return whether a storage of this name is configured and can remove bytes."""
    try:
        storage_for(name, Capability.REMOVE)
    except StorageRefusedError:
        return False
    return True


def is_public(name: str) -> bool:
    """Return whether visitors may read the files of a storage, by their locations."""
    return bool(storage_for(name).settings.public)


@task(name="ckanext.files.maintenance.remove_bytes", retry=RETRY)
def remove_bytes(storage: str, files: Sequence[dict[str, Any]]) -> int:
    """Remove the bytes of files whose rows were deleted or changed, unless a row names them.

    The commit that has deleted or changed the rows has also written this job, so
    bytes are removed although a process is killed in between.

    :param files: ``location`` and so on of each file, from its row.
    :returns: the number of files whose bytes still existed.
    """
    engine = model.Session.get_bind().engine
    return len(remove_all(engine, storage, map(as_data, files)))


def remove_later(files: Iterable[StoredFile], seconds: float | None = None) -> None:
    """Defer jobs that remove bytes after the commit of the present transaction.

    :param seconds: how long after it, so that readers who know the old row still find the bytes.
    """
    deferrer = remove_bytes.configure(countdown=seconds)
    for storage, some in groupby(sorted(files, key=_storage), key=_storage):
        data = [_values(file) for file in some]
        for start in range(0, len(data), _MAX_FILES_OF_JOB):
            deferrer.delay(storage, data[start : start + _MAX_FILES_OF_JOB])


def _storage(file: StoredFile) -> str:
    return file.storage


def _values(file: Any) -> dict[str, Any]:
    return {name: getattr(file, name) for name in _DATA}


def write_removal_job(storage: str, data: Any) -> bool:
    """Commit a job that removes bytes; return False if no job can remove them.

    It runs in a thread, because the job needs a commit of its own: after a rollback to a savepoint
    the caller's session still has an open transaction. Outside of the request, the job has no user.

    :raises Exception: the job cannot be written.
    """
    if not can_remove(storage):
        return False
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_write_job, storage, data).result()
    return True


def _write_job(storage: str, data: Any) -> None:
    engine = model.Session.get_bind().engine
    # beside the pool, of which the caller may have a connection: see LastingConnection
    pool = engine.pool.recreate()
    try:
        model.Session.remove()
        model.Session(bind=sa.engine.Engine(pool, engine.dialect, engine.url))
        # the caller's transaction may hold a lock that the job needs, and it waits for this thread
        model.Session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
        remove_bytes.delay(storage, [_values(data)])
        model.Session.commit()
    finally:
        model.Session.remove()
        pool.dispose()


def remove_all(engine: Engine, storage: str, some: Iterable[Any]) -> list[str]:
    """Remove bytes that no row names; return the locations at which bytes existed.

    Keeps bytes that a row of another storage names, which has the same folder.
    Tries all of them; raises the last error of the storage at the end.
    """
    target = storage_for(storage, Capability.REMOVE)
    removed: list[str] = []
    failed: Exception | None = None
    by_location = {str(data.location): data for data in some}
    with engine.connect() as connection:
        free = unnamed(
            connection, file_table, storage, list(by_location), OverlappingStorages(storage)
        )
    for data in map(by_location.__getitem__, free):
        try:
            if remove_unnamed(engine, file_table, storage, target, data):
                removed.append(str(data.location))
        except exc.LocationError as error:
            # the storage cannot have this location, also not at the next attempt
            log.warning("Storage %s does not remove %s: %s", storage, data.location, error)
        except Exception as error:
            log.warning("Storage %s keeps what no row names: %s: %s", storage, data.location, error)
            failed = error
    if failed:
        raise failed
    return removed
