"""Bytes that no row names any more.

Rows and bytes have no common commit, so bytes come before the commit that
names them and go after the commit that forgets them. What a crash leaves in
between is bytes without a row, never a row without bytes.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import sqlalchemy as sa
from ckan.model.types import make_uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from ckanext.files.transaction import on_commit, on_rollback

from .storages import FileData, get_storage
from .tables import file_table

log = logging.getLogger(__name__)

#: How long to wait for those who have taken a location and do not commit. One
#: of them can be the very transaction whose savepoint was rolled back.
PATIENCE = "10s"

_WAIT = sa.text("SELECT set_config('lock_timeout', :patience, true)")


def remove_unless_committed(session: Session, storage: str, data: FileData) -> None:
    """Remove what was just stored if the row that names it is rolled back."""
    on_rollback(functools.partial(_remove, session.get_bind().engine, storage, data))


def remove_when_committed(session: Session, storage: str, data: FileData) -> None:
    """Remove what is stored once the row that names it is gone for good."""
    on_commit(functools.partial(_remove, session.get_bind().engine, storage, data))


def _remove(engine: Engine, storage: str, data: FileData) -> None:
    """Remove bytes, unless a row names their location.

    The location is taken by a row of our own while they are removed. PostgreSQL
    lets us wait for whoever has taken it before and has not committed yet, and
    lets those wait who want it now.
    """
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(_WAIT, {"patience": PATIENCE})
            if connection.execute(_take(storage, str(data.location))).scalar():
                get_storage(storage).remove(data)
            transaction.rollback()
    except Exception:
        # nobody can be told: the transaction of the caller has ended
        log.exception("Storage %s keeps what no row names: %s", storage, data.location)


def _take(storage: str, location: str) -> Any:
    columns = file_table.c
    nothing = {"size": 0, "hash": "", "algorithm": "", "content_type": "", "name": location}
    values = {"id": make_uuid(), "storage": storage, "location": location, **nothing}
    insert = postgresql.insert(file_table).values({**values, "storage_data": {}, "plugin_data": {}})
    return insert.on_conflict_do_nothing().returning(columns.id)
