"""Rows whose bytes are not there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, exc, get_storage, is_configured

from .selection import Selection, as_rows
from .stored_file import StoredFile


def can_be_asked(storage: str) -> bool:
    """Tell whether there is such a storage, and whether it knows if a file exists."""
    return is_configured(storage) and bool(get_storage(storage).supports(Capability.EXISTS))


def find_missing(session: Session, files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return those of these files whose bytes are not there. No byte is read.

    :param files: of storages that can be asked.
    """
    missing = [file for file in files if not _exists(file)]
    return still_so(session, missing)


def still_so(session: Session, files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return those of these files that were neither moved nor deleted meanwhile."""
    there = Selection([file_table.c.id.in_(as_rows([file.id for file in files]))])
    now = {(file.id, file.storage, file.location) for file in there.page(session, "", len(files))}
    return [file for file in files if (file.id, file.storage, file.location) in now]


def _exists(file: StoredFile) -> bool:
    try:
        return get_storage(file.storage).exists(file.data)
    except exc.LocationError:
        return False  # a location that is not one of this storage
