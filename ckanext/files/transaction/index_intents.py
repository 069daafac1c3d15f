"""Intents: what a transaction is about to write into the search index.

A process that is killed after Solr has received a document and before its
COMMIT leaves Solr with a change that PostgreSQL does not have. So a transaction
first writes a row, its *intent*, for each dataset. It does so over another
connection, which commits at once, and then deletes the row itself. The commit
deletes the row; until then it is locked. A row that is not locked belongs to a
transaction that has ended without a commit: :mod:`.index_repair` looks for these.

The commit of the intent does not wait for the disk. When the whole machine
crashes, PostgreSQL may lose the intent together with its transaction.

Without the table everything works, but such a change stays in Solr.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg2 import Error
from psycopg2.errors import UndefinedTable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ckanext.files.advisory_locks import INDEX_INTENTS

from .connection import LastingConnection

log = logging.getLogger(__name__)

_TABLE = "SELECT to_regclass('files_index_intent') IS NOT NULL"

# set_config is for this statement only: so it works behind a pooler of connections
_INSERT = """
    INSERT INTO files_index_intent (package_id)
    SELECT package_id
    FROM unnest(%(packages)s) AS package_id, set_config('synchronous_commit', 'off', true)
    RETURNING id, EXISTS (
        SELECT FROM files_index_intent WHERE due < clock_timestamp() - interval '3 seconds')
"""

_DELETE = f"""
    WITH mine AS (DELETE FROM files_index_intent WHERE id = ANY(%(ids)s) RETURNING package_id)
    SELECT count(pg_advisory_xact_lock_shared({INDEX_INTENTS}, hashtext(package_id))),
        txid_current()
    FROM mine
"""

_DUE = "SELECT EXISTS (SELECT FROM files_index_intent WHERE due <= clock_timestamp())"

_ATTEMPTS = 2

_MISSING_FOR = 60.0
"""Seconds until the next look for a table that was missing."""


class _IntentConnection(LastingConnection):
    """The connection for intents. It returns no rows while their table is missing."""

    def __init__(self) -> None:
        super().__init__()
        self._missing_until = 0.0
        self._warned = False

    @property
    def is_missing(self) -> bool:
        """Whether the table was missing at its last use."""
        return time.monotonic() < self._missing_until

    def _run(self, engine: Any, query: str, values: Mapping[str, Any]) -> list[Any]:
        if self.is_missing:
            return []
        try:
            return super()._run(engine, query, values)
        except UndefinedTable:
            self._note_missing()
            return []

    def _open(self, engine: Any) -> None:
        super()._open(engine)
        with self._connection.cursor() as cursor:
            cursor.execute(_TABLE)
            if not cursor.fetchone()[0]:
                raise UndefinedTable

    def _note_missing(self) -> None:
        self._drop()
        self._missing_until = time.monotonic() + _MISSING_FOR
        if not self._warned:
            self._warned = True
            log.warning(
                "The table files_index_intent is missing. Until it is there, a process that is "
                "killed while it commits may leave Solr with a change that was not committed. "
                "Run: ckan db upgrade -p files"
            )


_connection = _IntentConnection()


class Written(NamedTuple):
    """What :func:`write` has learned."""

    overdue: bool = False
    """Intents of earlier transactions need a repair."""

    transaction_id: int | None = None
    """Result of ``txid_current()``; None if the transaction has no intent."""


def write(session: Session, package_ids: Sequence[str]) -> Written:
    """Write the intents of the session's transaction for these datasets."""
    rows: list[Any] = []
    transaction_id = None
    for _ in range(_ATTEMPTS):
        try:
            rows = _connection.fetch_all(_engine(session), _INSERT, {"packages": list(package_ids)})
        except (Error, SQLAlchemyError) as error:
            log.warning("If this process is killed now, Solr cannot be repaired: %s", error)
            break
        if not rows:
            break
        # a repair may have taken them before they were locked, as if their transaction were dead
        deleted, transaction_id = _delete(session, [row[0] for row in rows])
        if deleted == len(rows):
            break
    return Written(any(overdue for _, overdue in rows), transaction_id)


def are_due(session: Session) -> bool:
    """Return whether a repair should look at intents now."""
    rows = _connection.fetch_all(_engine(session), _DUE, {})
    return bool(rows and rows[0][0])


def are_possible() -> bool:
    """Return whether intents can be written, as far as is known."""
    return not _connection.is_missing


def _delete(session: Session, ids: list[int]) -> tuple[int, int]:
    """Delete intents in the session's transaction; return their number, and its id."""
    connection: Any = session.connection().connection
    with connection.cursor() as cursor:  # past SQLAlchemy, which takes as long as the server
        cursor.execute(_DELETE, {"ids": ids})
        return cursor.fetchone()


def _engine(session: Session) -> Any:
    return session.get_bind().engine
