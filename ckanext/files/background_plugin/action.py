"""Actions on jobs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckan import authz, model
from ckan.plugins import toolkit as tk
from ckan.types import Context, Schema

from ckanext.files.background import NotInstalledError, control, record

from . import schema

__all__ = ["files_job_cancel", "files_job_list", "files_job_retry", "files_job_show"]


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the error of missing tables, which names the command to run, into a validation error."""
    try:
        yield
    except NotInstalledError as error:
        raise tk.ValidationError({"message": [str(error)]}) from error


@tk.side_effect_free
@_explained()
def files_job_list(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """List background jobs, the newest first.

    A user gets the jobs that this user asked for, a sysadmin all jobs. For example, the jobs
    that failed last::

        tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed", "limit": 5})

    :param status: one state or a list of them: ``todo``, ``doing``,
        ``succeeded``, ``failed``, ``cancelled``, ``aborted``
    :type status: string or list of strings, optional
    :param task: the name of a task
    :type task: string, optional
    :param queue: the name of a queue
    :type queue: string, optional
    :param task_id: the id that the caller of ``send_task`` has given the job
    :type task_id: string, optional
    :param user_id: the user who asked for the job; id or name
    :type user_id: string, optional
    :param limit: the number of jobs on the page, 20 by default and 1000 at most
    :type limit: int, optional
    :param offset: the number of jobs before the page
    :type offset: int, optional

    Arguments may be large: a list has only the text ``args_summary``, the beginning of each of the
    first ten. ``files_job_show`` has the whole arguments, as ``args``.

    :returns: ``count``, the number of all jobs that were found, and ``results``, the page: jobs as
        ``files_job_show`` returns them, without ``args`` and ``events``
    :rtype: dictionary
    """
    tk.check_access("files_job_list", context, data_dict)
    # CKAN's own key, for values that a schema does not know
    given = {name: value for name, value in data_dict.items() if name != "__junk"}
    filters, errors = tk.navl_validate(given, schema.job_list(), context)
    if errors:
        raise tk.ValidationError(errors)
    limit, offset = filters.pop("limit"), filters.pop("offset")
    filters = {name: filters[name] for name in schema.job_list() if name in filters}
    user_id = _whose(context, filters.pop("user_id", None))
    if user_id is not None:
        filters["user_id"] = user_id
    found = record.page(filters, limit, offset)
    return {"count": record.count(filters), "results": [_dictized(context, job) for job in found]}


@tk.side_effect_free
@_explained()
def files_job_show(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Show a background job.

    Times are in UTC. ``percent`` (0 to 100) and ``text`` are the progress, if the task sets it;
    ``step`` is the number of finished steps. A job that waits between two steps is ``doing``.
    ``error`` and ``traceback`` are of the last failure, until a step succeeds; only sysadmins get
    the traceback, and more than the first line of the error. The time of the event ``scheduled``
    is the time at which the job becomes due. ``running`` is true while a worker has the job,
    ``locked`` while the job waits for another one with the same lock.

    Users may see the jobs that they asked for. For example, how far one is, from its address in
    the header ``Taskqueue-Location``::

        job = tk.get_action("files_job_show")({"user": "editor"}, {"id": 7})
        done = job["status"] == "succeeded"
        bar = f"{job['percent'] or 0:.0f} % {job['text'] or ''}"

    :param id: the id of the job
    :type id: int

    :returns: ``id``, ``task_id``, ``user_id``, ``task``, ``args``, ``args_summary``, ``queue``,
        ``status``, ``priority``, ``lock``, ``queueing_lock``, ``scheduled_at``, ``attempts``,
        ``abort_requested``, ``running``, ``locked``, ``step``, ``percent``, ``text``, ``error``,
        ``traceback``, ``created``, ``started``, ``finished``, and ``events``, a list of
        dictionaries with ``type`` and ``at``
    :rtype: dictionary
    """
    tk.check_access("files_job_show", context, data_dict)
    return _whole(context, _find(context, data_dict))


@_explained()
def files_job_cancel(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """End a background job.

    A job that waits becomes ``cancelled``, a job between two steps ``aborted``. A job that runs
    becomes ``aborted`` at the end of its present step, unless this is its last step; a task may
    check for this and end earlier. The changes of finished steps stay.

    With ``now`` the worker interrupts the present step as after a timeout, within a second, and
    nothing of the step stays.

    For example, to end a job and to know whether it has ended::

        job = tk.get_action("files_job_cancel")({"user": "editor"}, {"id": 7})
        if job["status"] == "doing":
            assert job["abort_requested"]  # it runs, and ends soon

    The action commits, unless the context has ``defer_commit``.

    :param id: the id of the job
    :type id: int
    :param now: interrupt the step that runs, false by default
    :type now: bool, optional

    :returns: the job, see ``files_job_show``
    :rtype: dictionary
    """
    tk.check_access("files_job_cancel", context, data_dict)
    data = _validated(context, data_dict, schema.job_cancel())
    job = _find(context, data_dict)
    if control.cancel(job.id, data["now"]) is None:
        raise _refused(job.id, tk._("The job has ended already: it is {status}"))
    return _changed(context, job.id)


@_explained()
def files_job_retry(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Have a background job run again that failed, was cancelled or aborted.

    The job goes on after its last finished step, as soon as a worker is free, also if it was
    scheduled for a later time. It gets its queueing lock back, unless another job waits with the
    same lock.

    For example, all jobs that failed while a server was down::

        failed = tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed"})
        for job in failed["results"]:
            tk.get_action("files_job_retry")({"user": "admin"}, {"id": job["id"]})

    The action commits, unless the context has ``defer_commit``.

    :param id: the id of the job
    :type id: int

    :returns: the job, see ``files_job_show``
    :rtype: dictionary
    """
    tk.check_access("files_job_retry", context, data_dict)
    job = _find(context, data_dict)
    if not control.retry(job.id):
        sentence = tk._(
            "Only a job that failed, was cancelled or aborted can run again: it is {status}"
        )
        raise _refused(job.id, sentence)
    return _changed(context, job.id)


def _validated(context: Context, data_dict: dict[str, Any], wanted: Schema) -> dict[str, Any]:
    data, errors = tk.navl_validate(data_dict, wanted, context)
    if errors:
        raise tk.ValidationError(errors)
    return data


def _find(context: Context, data_dict: dict[str, Any]) -> record.JobRecord:
    data = _validated(context, data_dict, schema.job())
    job = record.find(data["id"])
    if job is None:
        raise tk.ObjectNotFound(tk._("There is no job {job}").format(job=data["id"]))
    return job


def _refused(job_id: int, sentence: str) -> tk.ValidationError:
    job = record.find(job_id)  # again, because a worker may have changed it
    return tk.ValidationError({"id": [sentence.format(status=job.status if job else None)]})


def _changed(context: Context, job_id: int) -> dict[str, Any]:
    job = record.find(job_id)
    assert job
    result = _whole(context, job)
    if not context.get("defer_commit"):
        model.Session.commit()
    return result


def _whose(context: Context, user: str | None) -> str | None:
    """Return the id of the user whose jobs are listed; None for all jobs.

    :param user: the id or name that the caller has given.
    """
    if not user:
        if _sees_all(context):
            return None
        user = context.get("user", "")
    found = model.User.get(user)
    # an unknown user has no jobs
    return found.id if found else user


def _sees_all(context: Context) -> bool:
    return bool(context.get("ignore_auth")) or authz.is_sysadmin(context.get("user"))


def _whole(context: Context, job: record.JobRecord) -> dict[str, Any]:
    events = [{"type": event.type, "at": _time(event.at)} for event in record.history(job.id)]
    args = record.arguments(job.id)
    return {**_dictized(context, job), "args": args, "events": events}


def _dictized(context: Context, job: record.JobRecord) -> dict[str, Any]:
    shown = {
        name: _time(value) if isinstance(value, dt.datetime) else value
        for name, value in dataclasses.asdict(job).items()
    }
    if not _sees_all(context):
        # they contain paths of the server, and SQL statements with their values
        shown["traceback"] = None
        shown["error"] = next(iter((job.error or "").splitlines()), None)
    return shown


def _time(value: dt.datetime) -> str:
    return value.astimezone(dt.timezone.utc).isoformat()
