"""Deferring jobs: rows that CKAN's own session writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from ckan import model
from ckan.common import current_user
from flask import has_request_context
from procrastinate import exceptions
from procrastinate.tasks import configure_task
from sqlalchemy.exc import IntegrityError
from typing_extensions import Unpack

from ckanext.files.transaction import request_commit

from . import schema
from .app import app, held_connection
from .call import find_task, is_known
from .context import current_job
from .definition import by_name
from .errors import AlreadyEnqueuedError, ArgumentError
from .job import Job, listeners
from .options import DeferOptions, checked_key, checked_name, defer_options
from .sql import query


def send_task(
    name: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    **options: Unpack[DeferOptions],
) -> Job:
    """Defer a job of a task by the task's name.

    This process need not know the task. Then a worker that knows it checks the
    arguments.

    :param args: positional arguments.
    :param kwargs: arguments by name.
    :param task_id: an id of your own, such as a UUID; no two jobs have the same.
    :param options: of :meth:`Task.configure`.
    :raises BackgroundError: the ``task_id`` or an option is invalid.
    :raises ArgumentError: the arguments do not fit, JSON cannot hold them, or
        there is a job with that ``task_id``.
    """
    if isinstance(args, str) or not isinstance(args, Sequence):
        raise ArgumentError(f"The args of {name} are a list or tuple of arguments, not {args!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise ArgumentError(f"The kwargs of {name} are a dict of arguments, not {kwargs!r}")
    if task_id is not None:
        task_id = checked_key(str(task_id), "task_id")
    chosen = defer_options(**options)
    if is_known(name):
        task = find_task(name)
        return defer(name, [task.pack(args, kwargs or {})], {**task.options, **chosen}, task_id)[0]
    packed = by_name(kwargs or {}, args, checked_name(name, "name of a task"))
    return defer(name, [packed], chosen, task_id)[0]


def defer(
    task_name: str,
    arguments: Sequence[dict[str, Any]],
    options: Mapping[str, Any],
    task_id: str | None = None,
) -> list[Job]:
    """Write a job for each of the arguments.

    :param arguments: of each job, as :attr:`Call.args` has them.
    :param options: as :func:`~ckanext.files.background.options.defer_options` returns them.
    :raises AlreadyEnqueuedError: a job with the same queueing lock waits.
    :raises NotInstalledError: the tables are missing.
    """
    if not arguments:
        return []
    user_id = requesting_user()
    try:
        # a task_id that is taken must leave no job, and the caller's transaction usable
        savepoint = held_connection().begin_nested() if task_id is not None else nullcontext()
        with schema.explained(), savepoint:
            ids = _insert(task_name, arguments, options)
            if task_id is not None or user_id is not None:
                _describe(ids, task_id, user_id)
    except exceptions.AlreadyEnqueued as error:
        raise AlreadyEnqueuedError(str(error)) from error
    what = "The job" if len(ids) == 1 else f"The batch of {len(ids)} jobs"
    request_commit(f"{what} of task {task_name!r}", __package__ or "")
    jobs = [Job(job_id, task_id, user_id) for job_id in ids]
    for job in jobs:
        for listener in listeners:
            listener(job)
    return jobs


def requesting_user() -> str | None:
    """Return the id of the user on whose behalf this code runs.

    That is the user of the request; within a job, the user who asked for the job.
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
    # not by Procrastinate's deferrer, which cannot have an argument that is called self
    rows = [row.evolve(task_kwargs=each) for each in arguments]
    return [row.id for row in app.job_manager.batch_defer_jobs(rows) if row.id]


def _describe(ids: list[int], task_id: str | None, user_id: str | None) -> None:
    values = {"ids": ids, "task_id": task_id, "user_id": user_id}
    try:
        model.Session.connection().execute(query("describe_jobs"), values)
    except IntegrityError as error:
        raise ArgumentError(f"There is a job with the task_id {task_id!r} already") from error
