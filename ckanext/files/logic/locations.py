"""Lock the location of a new file before CKAN looks whether it is free.

CKAN asks the storage for the location within its action. This module asks before, for the same
upload: the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model
from ckan.lib.munge import munge_filename
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.errors import FileBusyError
from ckanext.files.filekeeper.locations import (
    LocationBusyError,
    has_committed_row,
    lock_chosen_location,
    lock_location,
)
from ckanext.files.store.models import file_table, flush_files
from ckanext.files.store.storages import Capability, exc, get_storage, make_upload, storage_name


def lock_new_location(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Lock the location of the file that ``file_create`` is about to make.

    :returns: the arguments for CKAN's action.
    :raises ValidationError: there is a file already, or another transaction makes one. No byte is
        stored.
    """
    name = storage_name(data_dict.get("storage"))
    try:
        storage, upload = get_storage(name), make_upload(data_dict.get("upload"))
    except (exc.UnknownStorageError, TypeError, ValueError):
        return data_dict  # the action refuses it
    data = {**data_dict, "storage": name, "upload": upload}
    file_name = data_dict.get("name") or upload.filename
    if not storage.supports(Capability.CREATE) or not file_name or not isinstance(file_name, str):
        return data
    tk.check_access("file_create", context, data)
    session: Any = context.get("session") or model.Session
    with _locking(session, "upload"):
        location = lock_chosen_location(session, name, storage, munge_filename(file_name), upload)
    if location is not None and has_committed_row(session, file_table, name, location):
        raise tk.ValidationError({"upload": ["File already exists"]})
    return data


def lock_known_location(context: Context, data_dict: dict[str, Any]) -> None:
    """Lock the location of the bytes that ``file_register`` is about to give a row.

    :raises ValidationError: another transaction makes a file there.
    """
    location, name = data_dict.get("location"), storage_name(data_dict.get("storage"))
    if not isinstance(location, str) or not isinstance(name, str):
        return  # the action refuses it
    tk.check_access("file_register", context, {**data_dict, "storage": name})
    session: Any = context.get("session") or model.Session
    with _locking(session, "location"):
        lock_location(session, name, location)


@contextmanager
def _locking(session: Any, field: str) -> Iterator[None]:
    flush_files(session)  # CKAN does not see in the database what waits in the session
    try:
        yield
    except LocationBusyError as error:
        message = tk._("Another request stores a file of this name. Try again.")
        raise FileBusyError({field: [message]}) from error
