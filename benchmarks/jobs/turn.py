"""What a process measures in its turn: each page once, and some claims."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.background import queues, schema
from ckanext.files.background.sql import query

from ..pages import get, timed

PAGES = {
    "all jobs": "/ckan-admin/jobs",
    "all jobs, far back": "/ckan-admin/jobs?before=21",
    "all that failed": "/ckan-admin/jobs?status=failed",
    "all of a queue": "/ckan-admin/jobs?queue=mails&status=succeeded",
    "all of a task": "/ckan-admin/jobs?task=example.tasks.task_1",
    "all of a user": "/ckan-admin/jobs?user_id={user}",
    "own jobs": "/dashboard/jobs",
    "own jobs that failed": "/dashboard/jobs?status=failed",
    "text that all have": "/ckan-admin/jobs?text=is+done",
    "text that none has": "/ckan-admin/jobs?text=nothing+has+this",
    "one job": "/job/1",
    "rows again": "/job/rows?scope=all" + "".join(f"&id={n}" for n in range(1, 21)),
}

CLAIMS = {
    "of all queues": "",
    "of all queues but a paused one": "pause",
    "of one queue": "default",
    "that finds nothing": "none",
}

_CLAIMS = 50


def prepare(count: int) -> None:
    """Make the tables, with so many jobs."""
    engine: Any = model.Session.get_bind()
    schema.install(engine)
    user = _user()
    sql = Path(__file__).with_name("jobs.sql").read_text()
    with engine.begin() as connection:
        connection.execute(sa.text(f"SET LOCAL search_path TO {schema.SCHEMA}"))
        connection.execute(sa.text(sql), {"count": count, "user_id": user["id"]})
    # VACUUM refuses to run within a transaction
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    take()


def take() -> dict[str, float]:
    """Return how many milliseconds each page and each claim took."""
    pages = {name: timed(lambda path=path: _get(path)) for name, path in PAGES.items()}
    claims = {name: _claims(of) for name, of in CLAIMS.items()}
    return {**pages, **claims}


def _get(path: str) -> None:
    user = _user()
    get(path.format(user=user["name"]), user["token"])


@functools.cache
def _user() -> dict[str, Any]:
    """Return a sysadmin who has asked for nine of ten jobs."""
    return factories.UserWithToken(sysadmin=True)


def _claims(of: str) -> float:
    """Return the milliseconds of one claim, of several that are undone."""
    if of == "pause":
        queues.pause("paused")
        model.Session.commit()
    values = {"worker": None, "queues": [of] if of not in ("", "pause") else None}
    claim = query("claim_job")

    def claim_and_undo() -> None:
        for _ in range(_CLAIMS):
            model.Session.execute(claim, values).scalar()
            model.Session.rollback()

    spent = timed(claim_and_undo) / _CLAIMS
    queues.resume("paused")
    model.Session.commit()
    return spent
