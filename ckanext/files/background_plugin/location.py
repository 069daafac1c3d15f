"""The header ``Taskqueue-Location``: where to look for the job that a request has asked for.

Once it is committed: a job that was rolled back is not named. Only to callers who
may see it: those who asked for it, and sysadmins.
"""

from __future__ import annotations

import dataclasses

from ckan import authz
from ckan.common import current_user, g
from ckan.plugins import toolkit as tk
from ckan.views import set_cors_headers_for_response
from flask import Blueprint, Response, has_request_context

from ckanext.files.background.context import current_job
from ckanext.files.background.job import Job, listeners
from ckanext.files.transaction import after_commit

HEADER = "Taskqueue-Location"

_KEY = "ckanext.files.background_plugin"
_ORIGIN = "Access-Control-Allow-Origin"
_EXPOSED = "Access-Control-Expose-Headers"

blueprint = Blueprint("files_jobs", __name__)


@dataclasses.dataclass
class _Jobs:
    """The jobs of a request."""

    uncommitted: set[int] = dataclasses.field(default_factory=set)
    first: Job | None = None
    chosen: Job | None = None

    def note(self, job: Job) -> None:
        """Remember a job that the request has asked for."""
        self.uncommitted.add(job.id)
        after_commit(lambda: self._committed(job))

    def named(self) -> Job | None:
        """Return the job that the response names."""
        if self.chosen and self.chosen.id not in self.uncommitted:
            return self.chosen
        return self.first

    def _committed(self, job: Job) -> None:
        self.uncommitted.discard(job.id)
        self.first = self.first or job


def set_task_location(job: Job) -> None:
    """Have the response of this request name a job, instead of the first that it has asked for.

    One that the request has asked for is named once it is committed, one that
    was there before in any case. Callers who may not see the job are not told
    of it. Nothing happens outside of a request.
    """
    if _may_be_told_of(job):
        _of_request().chosen = job


def listen() -> None:
    """Have the responses of requests that ask for jobs name the first of them."""
    if _note not in listeners:
        listeners.append(_note)


def _note(job: Job) -> None:
    if _may_be_told_of(job):
        _of_request().note(job)


def _may_be_told_of(job: Job) -> bool:
    # asked now and not at the end of the request, when the user's session may be gone
    if not has_request_context() or current_job() is not None:
        return False
    if not current_user or not current_user.is_authenticated:
        return False
    return job.user_id == current_user.id or authz.is_sysadmin(current_user.name)


def _of_request() -> _Jobs:
    return g.setdefault(_KEY, _Jobs())


@blueprint.after_app_request
def _name_job(response: Response) -> Response:
    jobs: _Jobs | None = g.get(_KEY)
    job = jobs and jobs.named()
    if job:
        response.headers[HEADER] = tk.url_for(
            "api.action",
            ver=3,
            logic_function="files_job_show",
            id=job.id,
            locale="default",
            _external=True,
        )
        _expose_header(response)
    return response


def _expose_header(response: Response) -> None:
    """Let scripts of other sites read it where CKAN lets them read the answer."""
    # CKAN does so itself after this, but it tells nobody before that whether it will
    set_cors_headers_for_response(response)
    if _ORIGIN in response.headers:
        others = response.headers.get(_EXPOSED)
        response.headers[_EXPOSED] = f"{others}, {HEADER}" if others else HEADER
