"""Pausing queues, and resuming them.

While a queue is paused, no worker begins a job of it or takes another step of one. Steps that run
end. Jobs may still be asked for, also by schedules: they wait. A queue is paused in the tables, so
it stays so when workers and servers are started again.

A pause leaves the order of locks as it is: a job that waits in a paused queue goes on to stop later
jobs with the same lock, in other queues, too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from typing import Any

from ckan import model

from . import schema
from .options import checked_queue
from .sql import query

_PATIENCE = 10.0
"""Seconds to wait for claims: their transactions commit soon, but may write to Solr first."""

_PAUSE = 0.01
"""Seconds between two looks."""


@dataclasses.dataclass(frozen=True)
class PausedQueue:
    """A queue that is paused."""

    queue: str
    since: dt.datetime
    user_id: str | None
    """Who has paused it; None for a command."""


def pause(queue: str, user_id: str | None = None) -> bool:
    """Pause a queue, in the current transaction; return False if it was paused already.

    When :func:`wait_for_claims` has returned after the commit, no step of the queue begins.

    :raises BackgroundError: no queue can have that name.
    """
    values = {"queue": checked_queue(queue), "user_id": user_id}
    return schema.connection().execute(query("pause_queue"), values).first() is not None


def resume(queue: str) -> bool:
    """Have workers run the jobs of a queue again; return False if it was not paused."""
    return schema.connection().execute(query("resume_queue"), {"queue": queue}).first() is not None


def paused(connection: Any = None) -> dict[str, PausedQueue]:
    """Return the queues that are paused, by their names.

    :param connection: of CKAN's session by default.
    """
    rows = (connection or schema.connection()).execute(query("paused_queues"))
    return {row.queue: PausedQueue(*row) for row in rows}


def wait_for_claims() -> bool:
    """Wait until no worker claims a job that has not seen what is paused now.

    :returns: False if one took too long; it may still begin a step.
    """
    claims = set(_open_claims())
    end = time.monotonic() + _PATIENCE
    while claims and time.monotonic() < end:
        time.sleep(_PAUSE)
        claims &= set(_open_claims())
    return not claims


def _open_claims() -> list[str]:
    # on a connection of its own: the caller's transaction has ended
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        return connection.execute(query("open_claims")).scalar()
