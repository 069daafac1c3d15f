"""Jobs that move between Redis and rows: what has become of each, and one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ckan.model import meta

from ckanext.files.advisory_locks import JOBS_MOVE
from ckanext.files.transaction.connection import connect

from .errors import MoveError


class Moved(NamedTuple):
    """What has become of a job."""

    rq_id: str
    reason: str | None = None
    """Why it stays where it was; None if it does not."""


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let no other process of this site move jobs.

    :raises MoveError: one does.
    """
    connection = connect(meta.engine)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (JOBS_MOVE,))
            if not cursor.fetchone()[0]:
                raise MoveError("Another process moves jobs between Redis and PostgreSQL")
            yield
            # the server may notice only later that a connection was closed
            cursor.execute("SELECT pg_advisory_unlock(%s)", (JOBS_MOVE,))
    finally:
        connection.close()
