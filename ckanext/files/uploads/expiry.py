"""Remove uploads: what a client does not want any more, and what has expired.

The bytes go first, then the row, while the row is locked. So a process that is killed in between
leaves a row, and the next attempt finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan.model import meta
from file_keeper.default.adapters.fs import FsStorage

from ckanext.files.filekeeper.removal import remove_unnamed
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, Location

from .errors import UploadNotFoundError
from .sinks import find_storage, sink_for
from .spool import Spool
from .table import Upload, lock_upload, transaction, upload_table

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
    failed: list[str] = []
    while id_ := _next_expired(failed):
        removed = _remove_and_log(id_)
        if removed and removed.error:
            failed.append(id_)
        if removed:
            yield removed


def count_expired() -> int:
    """Return how many uploads have expired."""
    expired = upload_table.c.expires <= sa.func.now()
    with transaction() as connection:
        return connection.execute(
            sa.select(sa.func.count()).select_from(upload_table).where(expired)
        ).scalar_one()


def _next_expired(others: Collection[str]) -> str | None:
    columns = upload_table.c
    expired = sa.select(columns.id).where(columns.expires <= sa.func.now())
    statement = (
        expired.where(columns.id.not_in(others))
        .order_by(columns.expires)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    with transaction() as connection:
        return connection.execute(statement).scalar()


def _remove_and_log(id_: str) -> RemovedUpload | None:
    try:
        upload = remove_upload(id_)
    except UploadNotFoundError:
        return None  # another process has removed it
    except Exception as error:
        log.warning("The expired upload %s cannot be removed: %s", id_, error)
        return RemovedUpload(id_, "", False, str(error) or repr(error))
    return RemovedUpload(id_, upload.name, upload.file_id is not None)


def remove_upload(id_: str) -> Upload:
    """Remove an upload with all its bytes; a file that it has become stays.

    :raises UploadBusyError: another request stores bytes, or makes the file.
    :raises UploadNotFoundError: it is gone.
    """
    with transaction() as connection:
        upload = lock_upload(connection, id_)
        if upload.file_id is None:
            _remove_location(upload)
            sink_for(upload).remove()
        else:
            Spool(id_, 0).remove()  # a kill may have left it after the commit
        connection.execute(sa.delete(upload_table).where(upload_table.c.id == id_))
    return upload


def _remove_location(upload: Upload) -> None:
    """Remove what the storage has of a file whose commit has failed."""
    if not (upload.is_stored and upload.location):
        return
    storage, data = find_storage(upload.storage), FileData(Location(upload.location))
    if isinstance(storage, FsStorage):
        place = Path(storage.full_path(data.location))
        if not Spool(upload.id, 0).is_linked_at(place):
            return
    if storage.supports(Capability.REMOVE):
        engine: Any = meta.engine
        remove_unnamed(engine, file_table, upload.storage, storage, data)
