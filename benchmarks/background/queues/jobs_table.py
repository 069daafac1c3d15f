"""Procrastinate's tables, in one PostgreSQL schema or another."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan import model

from ..journal import MissingError


class JobsTable:
    """Reads and empties it; what was kept on purpose stays."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._kept = 0

    def unfinished(self) -> int:
        """Return how many jobs wait or run; fail when one has failed."""
        query = f"""
            SELECT count(*) FILTER (WHERE status IN ('todo', 'doing')),
                   count(*) FILTER (WHERE status NOT IN ('todo', 'doing', 'succeeded'))
            FROM {self._schema}.procrastinate_jobs WHERE id > :kept
        """
        left, failed = model.Session.execute(sa.text(query), {"kept": self._kept}).one()
        # the next look shall see what others have committed meanwhile
        model.Session.rollback()
        if failed:
            raise MissingError(f"{failed} jobs have failed")
        return left

    def clean(self) -> None:
        """Remove all but the history, and let PostgreSQL know how much that is."""
        jobs = f"{self._schema}.procrastinate_jobs"
        # Procrastinate's triggers look for its tables where they are told
        model.Session.execute(sa.text(f"SET LOCAL search_path TO {self._schema}"))
        model.Session.execute(sa.text(f"DELETE FROM {jobs} WHERE id > {self._kept}"))
        model.Session.commit()
        self._outside(f"VACUUM ANALYZE {jobs}")
        self._outside(f"VACUUM ANALYZE {self._schema}.procrastinate_events")

    def fill(self, count: int) -> None:
        """Make a history of jobs that are finished, each with its events."""
        for statement in _HISTORY:
            self._outside(statement.format(schema=self._schema, count=count))
        self._kept = count

    def _outside(self, sql: str) -> None:
        engine: Any = model.Session.get_bind()
        # VACUUM refuses to run within a transaction
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(sql))


_HISTORY = (
    "TRUNCATE {schema}.procrastinate_jobs RESTART IDENTITY CASCADE",
    """
    INSERT INTO {schema}.procrastinate_jobs (queue_name, task_name, args, status, attempts)
    SELECT 'default', 'past', jsonb_build_object('number', number), 'succeeded', 1
    FROM generate_series(1, {count}) AS number
    """,
    """
    INSERT INTO {schema}.procrastinate_events (job_id, type, at)
    SELECT id, type::{schema}.procrastinate_job_event_type, now() - interval '1 day'
    FROM {schema}.procrastinate_jobs, unnest(ARRAY['deferred', 'started', 'succeeded']) AS type
    """,
)
