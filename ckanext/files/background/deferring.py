"""Asking for work: rows of jobs, written by CKAN's own session."""

from __future__ import annotations

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

from ckanext.files.transaction import request_commit

from . import schema
from .app import app
from .connector import held_connection
from .context import current_job
from .errors import AlreadyEnqueuedError, ArgumentError
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
    :param options: see :func:`~ckanext.files.background.options.job_options`.
    :raises AlreadyEnqueuedError: a job with the same queueing lock is waiting.
    :raises NotInstalledError: the tables are missing.
    """
    if not arguments:
        return []
    user_id = asking_user()
    try:
        # a task_id that is taken must neither leave a job nor spoil the caller's transaction
        with held_connection().begin_nested() if task_id is not None else nullcontext():
            ids = _insert(task_name, arguments, options)
            if task_id is not None or user_id is not None:
                _note(ids, task_id, user_id)
    except exceptions.AlreadyEnqueued as error:
        raise AlreadyEnqueuedError(str(error)) from error
    except exceptions.ConnectorException as error:
        raise schema.explain(error) from error
    what = "The job" if len(ids) == 1 else f"The batch of {len(ids)} jobs"
    request_commit(f"{what} of task {task_name!r}", __package__ or "")
    jobs = [Job(job_id, task_id, user_id) for job_id in ids]
    for job in jobs:
        for listener in listeners:
            listener(job)
    return jobs


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


def _insert(
    task_name: str, arguments: Sequence[dict[str, Any]], options: Mapping[str, Any]
) -> list[int]:
    row = configure_task(name=task_name, job_manager=app.job_manager, **options).job
    # not by the deferrer, which cannot have an argument that is called self
    rows = [row.evolve(task_kwargs=each) for each in arguments]
    return [row.id for row in app.job_manager.batch_defer_jobs(rows) if row.id]


def _note(ids: list[int], task_id: str | None, user_id: str | None) -> None:
    values = {"ids": ids, "task_id": task_id, "user_id": user_id}
    try:
        model.Session.connection().execute(_NOTE, values)
    except IntegrityError as error:
        raise ArgumentError(f"There is a job with the task_id {task_id!r} already") from error
