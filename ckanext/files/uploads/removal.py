"""Remove uploads: what a client does not want any more, and what has expired.

The bytes go first, then the row, while the row is locked. So a process that is killed in between
leaves a row, and the next attempt finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.filekeeper.locations import wait_for_location
from ckanext.files.filekeeper.removal import remove_unnamed_within
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, Location, is_configured

from .errors import StorageFailsError, UploadsNotReadyError
from .sinks import Sink, find_storage, sink_for
from .spool_folder import LINK, remove_from_spool, spooled_files
from .table import UploadRow, lock_expired, lock_upload, transaction, upload_table

_AT_ONCE = 3
"""How many expired uploads one new upload removes."""

log = logging.getLogger(__name__)


class RemovedUpload(NamedTuple):
    """An expired upload that was removed, or could not be removed."""

    id: str
    name: str
    was_finished: bool
    """It has become a file, and had nothing more to remove than its row."""

    error: str = ""
    """Why it could not be removed; the next attempt may succeed."""


def remove_expired() -> Iterator[RemovedUpload]:
    """Remove the uploads that have expired, one after the other."""
    return _remove_expired(upload_table.c.expires)


def remove_some_expired() -> None:
    """Keep the number of expired uploads small in a portal that removes them by no other way."""
    # any of them: such as cannot be removed would else come first each time
    for _ in islice(_remove_expired(sa.func.random()), _AT_ONCE):
        pass


def count_expired() -> int:
    """Return how many uploads have expired."""
    expired = upload_table.c.expires <= sa.func.now()
    with transaction() as connection:
        return connection.execute(
            sa.select(sa.func.count()).select_from(upload_table).where(expired)
        ).scalar_one()


def _remove_expired(order: Any) -> Iterator[RemovedUpload]:
    failed: list[str] = []
    while removed := _remove_next(order, failed):
        if removed.error:
            failed.append(removed.id)
        yield removed


def _remove_next(order: Any, failed: Collection[str]) -> RemovedUpload | None:
    """Remove an upload by the lock that has found it expired: no client can have gone on since."""
    with transaction() as connection:
        upload = lock_expired(connection, order, failed)
        if upload is None:
            return None
        removed = RemovedUpload(upload.id, upload.name, upload.file_id is not None)
        try:
            with connection.begin_nested():
                _remove(connection, upload)
        except Exception as error:
            log.warning("The expired upload %s cannot be removed: %s", upload.id, error)
            return removed._replace(error=str(error) or repr(error))
    return removed


def remove_upload(id_: str) -> None:
    """Remove an upload with all its bytes; a file that it has become stays.

    If its storage is not configured any more, what the storage has of it stays there: the user
    must be able to discard it nevertheless.

    :raises UploadBusyError: another request stores bytes, or makes the file.
    :raises UploadNotFoundError: it is gone.
    :raises StorageFailsError: the storage does not remove the bytes.
    """
    with transaction() as connection:
        upload = lock_upload(connection, id_)
        if is_configured(upload.storage):
            _remove(connection, upload)
        else:
            _remove_row(connection, upload)


def _remove(connection: Any, upload: UploadRow) -> None:
    if upload.file_id is None:
        sink = sink_for(upload)
        if upload.is_stored and upload.location:
            with _errors_as_ours():
                _remove_file(connection, upload, sink)
        sink.remove(connection)
    _remove_row(connection, upload)


def _remove_file(connection: Any, upload: UploadRow, sink: Sink) -> None:
    """Remove what the storage has of a file whose commit has failed."""
    storage, data = find_storage(upload.storage), FileData(Location(upload.location))
    if not storage.supports(Capability.REMOVE) or not sink.owns_file_at_location():
        return
    wait_for_location(connection, upload.storage, upload.location)
    if sink.owns_file_at_location():  # nothing has replaced it meanwhile
        remove_unnamed_within(connection, file_table, upload.storage, storage, data)


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, StorageFailsError):
        raise
    except Exception as error:
        log.error("A storage does not remove the file of an upload: %s", error)
        raise StorageFailsError from error


def _remove_row(connection: Any, upload: UploadRow) -> None:
    remove_from_spool(upload.id)  # a kill may have left it after the commit that made the file
    connection.execute(sa.delete(upload_table).where(upload_table.c.id == upload.id))


def find_stray_bytes() -> list[Path]:
    """Return the files in the spool that belong to no upload, so that nothing removes them.

    Rows and bytes are apart when a backup of one of them is restored, or when a file system was
    away and another folder took its place.
    """
    files = spooled_files()  # before the rows: a row is made before its file, and deleted after it
    with suppress(UploadsNotReadyError), transaction() as connection:
        known = set(connection.execute(sa.select(upload_table.c.id)).scalars())
        strays = [file for file in files if file.name.removesuffix(LINK) not in known]
        return sorted(file for file in strays if file.exists())
    return []
