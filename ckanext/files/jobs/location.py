"""The header ``Taskqueue-Location``: where to look for the job that a request has asked for."""

from __future__ import annotations

from ckan.common import current_user, g
from ckan.plugins import toolkit as tk
from flask import Blueprint, Response, has_request_context

from ckanext.files.background.context import current_job
from ckanext.files.background.job import Job, listeners
from ckanext.files.transaction import on_commit

HEADER = "Taskqueue-Location"

_KEY = "files_job"

blueprint = Blueprint("files_jobs", __name__)


def set_task_location(job: Job) -> None:
    """Have the response of this request name a job, instead of the first that it has asked for.

    Once the job is committed. Nothing happens outside of a request.
    """
    if _in_request():
        on_commit(lambda: setattr(g, _KEY, job))


def listen() -> None:
    """Have the responses of requests that ask for jobs name the first of them."""
    if _remember_first not in listeners:
        listeners.append(_remember_first)


def _remember_first(job: Job) -> None:
    if _in_request():
        on_commit(lambda: g.setdefault(_KEY, job))


def _in_request() -> bool:
    return has_request_context() and current_job() is None


@blueprint.after_app_request
def _name_job(response: Response) -> Response:
    job: Job | None = g.get(_KEY)
    if job and _may_see(job):
        response.headers[HEADER] = tk.url_for(
            "api.action",
            ver=3,
            logic_function="files_job_show",
            id=job.id,
            locale="default",
            _external=True,
        )
        # scripts of other sites may read it where CKAN lets them read the answer
        response.headers.add("Access-Control-Expose-Headers", HEADER)
    return response


def _may_see(job: Job) -> bool:
    if not current_user or not current_user.is_authenticated:
        return False
    return bool(current_user.sysadmin) or job.user_id == current_user.id
