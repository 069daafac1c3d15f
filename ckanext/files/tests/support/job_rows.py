"""Jobs of tests: their rows, and the time until they run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, JobContext, current_job, record
from ckanext.files.background.schema import SCHEMA

Define = Callable[..., Any]
"""The fixture ``define``."""


def shown(job: Job) -> record.JobRecord:
    """Return the record of a job that exists."""
    found = record.find(job.id)
    assert found
    return found


def running() -> JobContext:
    """Return the job whose step runs here."""
    job = current_job()
    assert job
    return job


def seconds_to_wait(job: Job) -> float:
    """Return the seconds until a job that was put off is due."""
    at = shown(job).scheduled_at
    assert at
    return (at - dt.datetime.now(dt.timezone.utc)).total_seconds()


def let_time_pass() -> None:
    """Make all jobs due that were put off."""
    model.Session.execute(
        sa.text(
            f"UPDATE {SCHEMA}.procrastinate_jobs SET scheduled_at = now() - interval '1 second'"
            " WHERE status = 'todo' AND scheduled_at IS NOT NULL"
        )
    )
    model.Session.commit()
