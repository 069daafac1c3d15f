"""The page of one job."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.error_texts import text_of
from ckanext.files.form_choices import read_flag

from .blueprint import back, blueprint, call, for_users, no_job


@blueprint.route("/job/<job_id>")
@for_users
def read(job_id: str) -> Any:
    """Show a job with its arguments, its events and its error."""
    shown = _shown(job_id)
    return tk.render("files_jobs/one.html", shown) if shown else no_job()


@blueprint.route("/job/state/<job_id>")
@for_users
def state(job_id: str) -> Any:
    """Show what changes of a job while it runs, without the page around it."""
    shown = _shown(job_id)
    return tk.render("files_jobs/snippets/state_of_one.html", shown) if shown else no_job()


@blueprint.route("/job/cancel/<job_id>", methods=["POST"])
@for_users
def cancel(job_id: str) -> Any:
    """End a job."""
    now = read_flag(tk.request.form, "now")
    return _change("files_job_cancel", job_id, tk._("Job {job} is being cancelled"), now=now)


@blueprint.route("/job/retry/<job_id>", methods=["POST"])
@for_users
def retry(job_id: str) -> Any:
    """Have a job run again."""
    return _change("files_job_retry", job_id, tk._("Job {job} will run again"))


def _shown(job_id: str) -> dict[str, Any] | None:
    """Return what the page of a job needs; None if the visitor may not see the job."""
    try:
        job = call("files_job_show", id=job_id)
    except (tk.ObjectNotFound, tk.NotAuthorized, tk.ValidationError):
        return None
    user = model.User.get(job["user_id"]) if job["user_id"] else None
    here = tk.url_for("files_jobs.read", job_id=job["id"])
    return {"job": job, "user": user, "next": here}


def _change(action: str, job_id: str, done: str, **data: Any) -> Any:
    try:
        job = call(action, id=job_id, **data)
    except (tk.ObjectNotFound, tk.NotAuthorized):
        return no_job()
    except tk.ValidationError as error:
        tk.h.flash_error(text_of(error))
        return back(tk.url_for("files_jobs.own_jobs"))
    tk.h.flash_success(done.format(job=job["id"]))
    return back(tk.url_for("files_jobs.read", job_id=job["id"]))
