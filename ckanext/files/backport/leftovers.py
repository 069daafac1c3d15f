"""Bytes that no row names any more.

Rows and bytes have no common commit, so bytes come before the commit that
names them and go after the commit that forgets them. What a crash leaves in
between is bytes without a row, never a row without bytes.
"""

from __future__ import annotations

import functools
import logging

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from ckanext.files.transaction import after_commit, on_rollback

from .removal import remove_unnamed
from .storages import FileData, get_storage
from .tables import file_table

log = logging.getLogger(__name__)

#: How long to wait for those who have taken a location and do not commit. One
#: of them can be the very transaction whose savepoint was rolled back.
PATIENCE = "10s"


def remove_unless_committed(session: Session, storage: str, data: FileData) -> None:
    """Remove what was just stored if the row that names it is rolled back."""
    on_rollback(functools.partial(_remove, session.get_bind().engine, storage, data))


def remove_when_committed(session: Session, storage: str, data: FileData) -> None:
    """Remove what is stored once the row that names it is gone for good."""
    after_commit(functools.partial(_remove, session.get_bind().engine, storage, data))


def _remove(engine: Engine, storage: str, data: FileData) -> None:
    try:
        remove_unnamed(engine, file_table, storage, get_storage(storage), data, PATIENCE)
    except Exception:
        # nobody can be told: the transaction of the caller has ended
        log.exception("Storage %s keeps what no row names: %s", storage, data.location)
