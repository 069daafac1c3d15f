"""The keys of all advisory locks of PostgreSQL that this extension takes.

PostgreSQL has two kinds: a lock with one key, and a lock with two keys. A key of
one kind is never in conflict with the other kind. Sessions of one database share
the keys, so a plugin that takes advisory locks must not use these numbers.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

WORKER = 7_107
"""With the id of a worker: held as long as the worker lives, by its session for notifications."""

SUSPECT_JOBS = 7_108
"""With the id of a worker: one of its slots claims a job that may kill workers.

The SQL function ``files_may_claim_suspect`` takes it.
"""

SCHEDULES = 7_109
"""One worker at a time defers the jobs of a schedule."""

INDEX_INTENTS = 7_110
"""With the hash of a dataset's id: see :mod:`ckanext.files.transaction.index_intents`.

Transactions share the lock from their intent to their end. A repair takes it alone.
"""

UPLOADS = 7_111
"""With the hash of a user's id: one request at a time begins an upload of that user."""

UPLOADED_PARTS = 7_112
"""With the hash of a storage and a location: one upload at a time announces parts to the
bucket, or removes parts."""

JOBS_MOVE = 7_113
"""One process at a time moves jobs of extensions between Redis and PostgreSQL."""

LOCATIONS = 7_114
"""With the hash of a storage and a location: one transaction at a time stores or removes bytes
there. See :mod:`ckanext.files.filekeeper.locations`."""

INSTALLATION = 7_107_000
"""One process at a time creates or updates the tables of background tasks."""


def lock_text(connection: Any, lock: int, text: str) -> None:
    """Take a lock for a text until the transaction ends.

    :param lock: one of those above whose second key is a hash.
    """
    key = sa.func.hashtext(text)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock, key)))


def try_to_lock_text(connection: Any, lock: int, text: str) -> bool:
    """Do the same without waiting; return whether the transaction has the lock."""
    key = sa.func.hashtext(text)
    return connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(lock, key))).scalar()
