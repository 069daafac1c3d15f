"""Auth functions: users see and control the jobs that they asked for, sysadmins all jobs.

A job of another user or of a script is refused with the message for a job that
does not exist.
"""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import AuthResult, Context, DataDict

from ckanext.files.background import NotInstalledError, record

from . import schema

__all__ = [
    "files_job_cancel",
    "files_job_list",
    "files_job_rate",
    "files_job_retry",
    "files_job_show",
    "files_jobs_cancel",
    "files_jobs_retry",
    "files_queue_list",
    "files_queue_pause",
    "files_queue_resume",
    "files_schedule_list",
    "files_worker_list",
]


def files_job_list(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user may list these jobs: own jobs only."""
    user = _user(context)
    if user and data_dict.get("user_id") in (None, "", user.id, user.name):
        return {"success": True}
    return {"success": False, "msg": tk._("You may list your own jobs only")}


def files_job_show(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user asked for the job."""
    user, job_id = _user(context), _id(data_dict.get("id"))
    try:
        job = record.find(job_id) if user and job_id else None
    except NotInstalledError as error:
        return {"success": False, "msg": str(error)}
    if user and job and job.user_id == user.id:
        return {"success": True}
    sentence = tk._("There is no job {job}, or you are not allowed to see it")
    return {"success": False, "msg": sentence.format(job=data_dict.get("id"))}


def files_job_cancel(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user asked for the job, and for one of our tasks.

    CKAN leaves the jobs of ``toolkit.enqueue_job`` to sysadmins: they were written for no user to
    end or repeat.
    """
    shown = files_job_show(context, data_dict)
    if shown.get("success") and _has_rq_id(data_dict):
        sentence = tk._("Only sysadmins may end jobs of extensions, and run them again")
        return {"success": False, "msg": sentence}
    return shown


def files_job_retry(context: Context, data_dict: DataDict) -> AuthResult:
    """Check as for the end of a job."""
    return files_job_cancel(context, data_dict)


def files_jobs_cancel(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user may end these jobs: own jobs only."""
    return files_job_list(context, data_dict)


def files_jobs_retry(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user may have these jobs run again: own jobs only."""
    return files_job_list(context, data_dict)


def files_job_rate(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user may count these jobs: own jobs only."""
    return files_job_list(context, data_dict)


def files_queue_list(context: Context, data_dict: DataDict) -> AuthResult:
    """Check if the user may count these jobs: own jobs only."""
    return files_job_list(context, data_dict)


def files_queue_pause(context: Context, data_dict: DataDict) -> AuthResult:
    """Refuse all but sysadmins, whom CKAN does not ask about."""
    return {"success": False, "msg": tk._("Only sysadmins may see and change queues and workers")}


def files_queue_resume(context: Context, data_dict: DataDict) -> AuthResult:
    """Refuse all but sysadmins."""
    return files_queue_pause(context, data_dict)


def files_schedule_list(context: Context, data_dict: DataDict) -> AuthResult:
    """Refuse all but sysadmins."""
    return files_queue_pause(context, data_dict)


def files_worker_list(context: Context, data_dict: DataDict) -> AuthResult:
    """Refuse all but sysadmins."""
    return files_queue_pause(context, data_dict)


def _user(context: Context) -> model.User | None:
    # not auth_user_obj, which is an object for visitors, too
    name = context.get("user")
    return model.User.get(name) if name else None


def _has_rq_id(data_dict: DataDict) -> bool:
    job_id = _id(data_dict.get("id"))
    job = record.find(job_id) if job_id else None
    return job is not None and job.rq_id is not None


def _id(value: Any) -> int | str | None:
    try:
        return schema.number_or_rq_id(value)
    except tk.Invalid:
        return None
