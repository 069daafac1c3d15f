"""Whether a COMMIT of unknown outcome has happened.

When the connection breaks while COMMIT is under way, the client cannot know
whether PostgreSQL has committed. PostgreSQL does: it keeps the status of each
transaction id for a long time.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.errors import CommitUnknownError

#: Seconds to wait for the database to come back and to make up its mind.
PATIENCE = 10.0

#: Seconds after which a server process that still works for the lost
#: connection is ended, so that its transaction gets an outcome.
GRACE = 1.0

_STATUS = sa.text("SELECT txid_status(:id)")

# backend_xid holds the lower 32 bits of the id
_TERMINATE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_xid::text::bigint = :id % 4294967296"
)


def has_committed(engine: Engine, transaction_id: int | None) -> bool:
    """Ask over a new connection what became of a transaction.

    :param transaction_id: what ``txid_current_if_assigned()`` has told within
        it; None if it has written nothing.
    :raises CommitUnknownError: the database does not answer.
    """
    if transaction_id is None:
        return False
    start = time.monotonic()
    while (passed := time.monotonic() - start) < PATIENCE:
        status = _ask(engine, transaction_id, terminate=passed > GRACE)
        if status in ("committed", "aborted"):
            return status == "committed"
        time.sleep(0.05)
    raise CommitUnknownError(
        f"The connection was lost during the COMMIT of transaction {transaction_id}, and the "
        f"database did not tell within {PATIENCE:.0f} seconds whether it has happened. Look at "
        "what was to be changed before you try again."
    )


def _ask(engine: Engine, transaction_id: int, terminate: bool) -> str | None:
    parameters = {"id": transaction_id}
    try:
        with engine.connect() as connection:
            if terminate:
                connection.execute(_TERMINATE, parameters)
            return connection.execute(_STATUS, parameters).scalar()
    except SQLAlchemyError:
        return None  # not back yet
