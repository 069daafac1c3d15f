"""Many jobs at once, as a portal has them after some years, and what PostgreSQL reads of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.jobs import S

TASKS = 20
QUEUES = ("default", "mails", "reports", "slow")

_INSERT = f"""
    SET LOCAL search_path TO {S};
    ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER;
    INSERT INTO procrastinate_jobs (task_name, queue_name, status, args, attempts, scheduled_at)
    SELECT 'ckanext.example.tasks.task_' || n % {TASKS},
        (ARRAY['default', 'mails', 'reports', 'slow'])[1 + n % 4],
        (CASE WHEN n % 100 = 1 THEN 'failed' WHEN n % 1000 = 2 THEN 'todo'
              WHEN n % 1000 = 3 THEN 'cancelled' ELSE 'succeeded' END)::procrastinate_job_status,
        jsonb_build_object('id', md5(n::text), 'number', n), 1,
        CASE WHEN n % 2000 = 2 THEN now() + interval '1 day' END
    FROM generate_series(1, :count) AS n;
    INSERT INTO files_job (job_id, user_id, percent, text, error)
    SELECT id, CASE WHEN id % 10 = 0 THEN 'other' ELSE :user_id END, 100, 'All is done',
        CASE WHEN status = 'failed' THEN 'ValueError: no such thing' END
    FROM procrastinate_jobs WHERE task_name LIKE 'ckanext.example.tasks.task%';
    INSERT INTO procrastinate_events (job_id, type, at)
    SELECT j.id, type::procrastinate_job_event_type,
        now() - make_interval(secs => (:count - row_number() OVER (ORDER BY j.id) / 3) / 10)
    FROM procrastinate_jobs j CROSS JOIN unnest(ARRAY['deferred', 'started', 'succeeded']) AS type
    WHERE task_name LIKE 'ckanext.example.tasks.task%';
    ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER
"""


def add_jobs(count: int, user_id: str | None = None) -> None:
    """Add jobs of several tasks and queues, most of which have succeeded.

    :param user_id: has asked for nine of ten.
    """
    with engine().begin() as connection:
        connection.execute(sa.text(_INSERT), {"count": count, "user_id": user_id})
    analyze()


def analyze() -> None:
    """Let PostgreSQL know how many there are, as it does by itself after a while."""
    tables = ", ".join(f"{S}.{name}" for name in ("procrastinate_jobs", "files_job"))
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"VACUUM ANALYZE {tables}, {S}.procrastinate_events"))


def plans(call: Callable[[], Any]) -> list[str]:
    """Return how PostgreSQL reads what a call asks of the tables of jobs."""
    with _statements() as statements:
        call()
    asked = [each for each in statements if f"{S}." in each[0] and "SELECT" in each[0]]
    with engine().connect() as connection:
        return [
            "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())
            for statement, values in asked
        ]


@contextmanager
def _statements() -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        found.append((statement, parameters))

    event.listen(engine(), "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine(), "before_cursor_execute", note)
