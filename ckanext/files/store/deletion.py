"""Delete a file in a transaction that other code commits, and its bytes after that commit.

The backport's ``file_delete`` does so always. CKAN 2.12.0 removes the bytes at once: a rollback
brings back the row, but not the bytes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.errors import FilesError
from ckanext.files.filekeeper.removal import remove_when_committed

from .models import File, expire, file_table, owner_table
from .storages import Capability, FileData, exc, get_storage


class CannotRemoveError(FilesError):
    """The storage cannot remove the bytes of the file, or is not configured."""


def delete_file(session: Session, file_id: str, *, include_plugin_data: bool) -> Any:
    """Delete a file without a commit.

    :returns: CKAN's dictionary of the file; None if it does not exist.
    :raises CannotRemoveError: nothing was changed.
    """
    lock_file(session, file_id)
    file: Any = session.get(File, file_id)
    if file is None:
        return None
    storage, data = _storage(file.storage), FileData.from_object(file)
    if not storage.supports(Capability.REMOVE) and _may_exist(storage, data):
        raise CannotRemoveError("Operation is not supported")
    result = file.dictize(include_plugin_data)
    session.delete(file)
    session.flush()
    remove_when_committed(session, file_table, file.storage, storage, data)
    return result


def lock_file(session: Session, file_id: str) -> None:
    """Keep other transactions from changing or deleting a file, and let the session read it again.

    Without the lock, two requests that delete it would both remove the bytes at its location, the
    second one perhaps when another file has the location.
    """
    session.flush()  # what is read again would discard pending changes
    # the owner first, as in every transaction that changes both
    for column in (owner_table.c.file_id, file_table.c.id):
        session.execute(sa.select(column).where(column == file_id).with_for_update())
    expire(session, [file_id])


def _storage(name: str) -> Any:
    try:
        return get_storage(name)
    except exc.UnknownStorageError as error:
        raise CannotRemoveError(str(error)) from error


def _may_exist(storage: Any, data: Any) -> bool:
    return not storage.supports(Capability.EXISTS) or storage.exists(data)
