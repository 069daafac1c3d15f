"""Asking for work: rows of jobs, written by CKAN's own session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.common import current_user
from flask import has_request_context
from procrastinate import exceptions
from procrastinate.tasks import configure_task
from sqlalchemy.exc import IntegrityError

from . import schema
from .app import app
from .context import current_job
from .errors import AlreadyEnqueuedError, ArgumentError, BackgroundError
from .job import Job, listeners

_NOTE = sa.text(
    f"INSERT INTO {schema.SCHEMA}.files_job (job_id, task_id, user_id)"
    " SELECT id, :task_id, :user_id FROM unnest(CAST(:ids AS bigint[])) AS id"
)


def defer(
    task_name: str,
    arguments: Sequence[dict[str, Any]],
    options: Mapping[str, Any],
    task_id: str | None = None,
) -> list[Job]:
    """Write a job for each of the arguments.

    :param arguments: of each job, as a :class:`Call` has them.
    :param options: see :func:`job_options`.
    :raises AlreadyEnqueuedError: a job with the same queueing lock is waiting.
    :raises NotInstalledError: the tables are missing.
    """
    if not arguments:
        return []
    deferrer = configure_task(name=task_name, job_manager=app.job_manager, **options)
    try:
        ids = deferrer.batch_defer(*arguments)
    except exceptions.AlreadyEnqueued as error:
        raise AlreadyEnqueuedError(str(error)) from error
    except exceptions.ConnectorException as error:
        raise schema.explain(error) from error
    user_id = asking_user()
    if task_id is not None or user_id is not None:
        _note(ids, task_id, user_id)
    jobs = [Job(job_id, task_id, user_id) for job_id in ids]
    for job in jobs:
        for listener in listeners:
            listener(job)
    return jobs


def job_options(
    queue: str | None = None,
    lock: str | None = None,
    queueing_lock: str | None = None,
    priority: int | None = None,
    eta: dt.datetime | None = None,
    countdown: float | None = None,
) -> dict[str, Any]:
    """Return the options of :meth:`Task.configure` that were given, in Procrastinate's words."""
    options = {
        "queue": queue,
        "lock": lock,
        "queueing_lock": queueing_lock,
        "priority": priority,
        "schedule_at": when(eta, countdown),
    }
    return {name: value for name, value in options.items() if value is not None}


def asking_user() -> str | None:
    """Return the id of the user on whose behalf this code runs.

    That is the user of the request; within a job, the user who asked for that.
    """
    job = current_job()
    if job is not None:
        return job.user_id
    if has_request_context() and current_user and current_user.is_authenticated:
        return str(current_user.id)
    return None


def _note(ids: list[int], task_id: str | None, user_id: str | None) -> None:
    values = {"ids": ids, "task_id": task_id, "user_id": user_id}
    try:
        connection = model.Session.connection()
        with connection.begin_nested() if task_id else nullcontext():
            connection.execute(_NOTE, values)
    except IntegrityError as error:
        raise ArgumentError(f"There is a job with the task_id {task_id!r} already") from error


def when(eta: dt.datetime | None, countdown: float | None) -> dt.datetime | None:
    """Return the time that one of the two names.

    :raises BackgroundError: both are given, or ``eta`` has no time zone.
    """
    if eta is not None and countdown is not None:
        raise BackgroundError("Give eta or countdown, not both")
    if countdown is not None:
        return dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=countdown)
    if eta is not None and eta.utcoffset() is None:
        raise BackgroundError(
            f"The eta {eta.isoformat()} has no time zone: give it one, such as "
            "datetime.now(timezone.utc) has"
        )
    return eta
