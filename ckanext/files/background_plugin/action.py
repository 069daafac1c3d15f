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
    """Answer with what to run if the tables are missing."""
    try:
        yield
    except NotInstalledError as error:
        raise tk.ValidationError({"message": [str(error)]}) from error


@tk.side_effect_free
@_explained()
def files_job_list(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """List background jobs, the newest first.

    A user gets the jobs that this user asked for, a sysadmin those of everybody. For
    example, what failed lately::

        tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed", "limit": 5})

    :param status: one state or a list of them: ``todo``, ``doing``,
        ``succeeded``, ``failed``, ``cancelled``, ``aborted``
    :type status: string or list of strings, optional
    :param task: the name of a task
    :type task: string, optional
    :param queue: the name of a queue
    :type queue: string, optional
    :param task_id: what the caller of ``send_task`` named it
    :type task_id: string, optional
    :param user_id: who asked; id or name
    :type user_id: string, optional
    :param limit: at most so many, 20 by default and 1000 at most
    :type limit: int, optional
    :param offset: skip so many
    :type offset: int, optional

    Arguments may be large: a list has only the text ``args_summary``, the beginning of each of the
    first ten. ``files_job_show`` has them whole, as ``args``.

    :returns: ``count``, the number of all that were found, and ``results``, the
        page, see ``files_job_show``; without ``args`` and ``events``
    :rtype: dictionary
    """
    tk.check_access("files_job_list", context, data_dict)
    # CKAN's own key, for what a schema does not know
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

    Times are in UTC. ``percent`` (0 to 100) and ``text`` are the progress that the task tells, if
    it does; ``step`` is the number of finished steps. A job that waits between two steps is
    ``doing``. ``error`` and ``traceback`` are of the last failure, until a step goes well; only
    sysadmins get the traceback, and more than the first line of the error.
    The event ``scheduled`` bears the time for which the job was put off. ``running`` tells whether
    a worker has the job, ``locked`` whether it waits for another one with the same lock.

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

    One that waits is ``cancelled``, one between two steps ``aborted``. One that runs is
    ``aborted`` at the end of its present step, unless that finishes it; a task may
    look for it and end earlier. What finished steps have changed stays.

    With ``now`` the present step does not go on to its end: its worker interrupts it as
    a timeout does, within a second, and nothing of the step stays.

    For example, to end a job and to know whether it has ended::

        job = tk.get_action("files_job_cancel")({"user": "editor"}, {"id": 7})
        if job["status"] == "doing":
            assert job["abort_requested"]  # it runs, and ends soon

    It commits, unless it is called with ``defer_commit``.

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

    It goes on after its last finished step, as soon as a worker is free, also if it was put off.
    It has its queueing lock again, unless another job waits with the same one.

    For example, all that failed on a day on which a server was down::

        failed = tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed"})
        for job in failed["results"]:
            tk.get_action("files_job_retry")({"user": "admin"}, {"id": job["id"]})

    It commits, unless it is called with ``defer_commit``.

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


def _find(context: Context, data_dict: dict[str, Any]) -> record.Record:
    data = _validated(context, data_dict, schema.job())
    job = record.find(data["id"])
    if job is None:
        raise tk.ObjectNotFound(tk._("There is no job {job}").format(job=data["id"]))
    return job


def _refused(job_id: int, sentence: str) -> tk.ValidationError:
    job = record.find(job_id)  # again: it may have changed since it was found
    return tk.ValidationError({"id": [sentence.format(status=job.status if job else None)]})


def _changed(context: Context, job_id: int) -> dict[str, Any]:
    job = record.find(job_id)
    assert job
    result = _whole(context, job)
    if not context.get("defer_commit"):
        model.Session.commit()
    return result


def _whose(context: Context, user: str | None) -> str | None:
    """Return the id of the user whose jobs are meant; None for those of everybody.

    :param user: the id or name that the caller has given.
    """
    if not user:
        if _sees_all(context):
            return None
        user = context.get("user", "")
    found = model.User.get(user)
    # somebody who has no jobs, and not somebody who has all
    return found.id if found else user


def _sees_all(context: Context) -> bool:
    return bool(context.get("ignore_auth")) or authz.is_sysadmin(context.get("user"))


def _whole(context: Context, job: record.Record) -> dict[str, Any]:
    events = [{"type": event.type, "at": _time(event.at)} for event in record.history(job.id)]
    args = record.arguments(job.id)
    return {**_dictized(context, job), "args": args, "events": events}


def _dictized(context: Context, job: record.Record) -> dict[str, Any]:
    shown = {
        name: _time(value) if isinstance(value, dt.datetime) else value
        for name, value in dataclasses.asdict(job).items()
    }
    if not _sees_all(context):
        # they tell of the server: what lies where, and statements with their values
        shown["traceback"] = None
        shown["error"] = next(iter((job.error or "").splitlines()), None)
    return shown


def _time(value: dt.datetime) -> str:
    return value.astimezone(dt.timezone.utc).isoformat()
