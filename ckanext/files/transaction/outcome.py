"""The outcome of a COMMIT during which the connection was lost.

The client cannot know whether PostgreSQL has committed. PostgreSQL keeps the
status of each transaction id for a long time, so a new connection can ask.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.errors import CommitUnknownError

PATIENCE = 10.0
"""Seconds to wait until the database is back and the transaction has an outcome."""

GRACE = 1.0
"""Seconds until a server process that still serves the lost connection is ended.

Its transaction gets an outcome then.
"""

_STATUS = sa.text("SELECT txid_status(:id)")

# backend_xid holds the lower 32 bits of the id
_TERMINATE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_xid::text::bigint = :id % 4294967296"
)


def has_committed(engine: Engine, transaction_id: int | None) -> bool:
    """Return whether a transaction has committed, as a new connection sees it.

    :param transaction_id: result of ``txid_current_if_assigned()`` within it;
        None if it has written nothing.
    :raises CommitUnknownError: the database does not answer.
    """
    if transaction_id is None:
        return False
    start = time.monotonic()
    while (passed := time.monotonic() - start) < PATIENCE:
        status = _status_of(engine, transaction_id, terminate=passed > GRACE)
        if status in ("committed", "aborted"):
            return status == "committed"
        time.sleep(0.05)
    raise CommitUnknownError(
        f"The connection was lost during the COMMIT of transaction {transaction_id}, and the "
        f"database did not answer within {PATIENCE:.0f} seconds whether it has happened. Look at "
        "what was to be changed before you try again."
    )


def _status_of(engine: Engine, transaction_id: int, terminate: bool) -> str | None:
    parameters = {"id": transaction_id}
    try:
        with engine.connect() as connection:
            if terminate:
                connection.execute(_TERMINATE, parameters)
            return connection.execute(_STATUS, parameters).scalar()
    except SQLAlchemyError:
        return None  # the database is not back yet
