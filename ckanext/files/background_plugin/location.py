"""The header ``Taskqueue-Location``: the address of the job that a request has asked for.

A response names only a job that is committed, and only to a caller who may see
it: the user who has asked for the job, or a sysadmin.
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
_MOST = 5
"""Jobs of a request that are remembered: it may ask for thousands."""

_ORIGIN = "Access-Control-Allow-Origin"
_EXPOSED = "Access-Control-Expose-Headers"

blueprint = Blueprint("files_task_location", __name__)


@dataclasses.dataclass
class _Jobs:
    """The jobs of a request."""

    uncommitted: set[int] = dataclasses.field(default_factory=set)
    committed: list[Job] = dataclasses.field(default_factory=list)
    chosen: Job | None = None

    def note(self, job: Job) -> None:
        """Remember a job of the request, until its commit."""
        self.uncommitted.add(job.id)
        after_commit(lambda: self._committed(job))

    def named(self) -> Job | None:
        """Return the job that the response names."""
        if self.chosen and self.chosen.id not in self.uncommitted:
            return self.chosen
        return self.committed[0] if self.committed else None

    def _committed(self, job: Job) -> None:
        self.uncommitted.discard(job.id)
        if len(self.committed) < _MOST:
            self.committed.append(job)


def set_task_location(job: Job) -> None:
    """Have the response of this request name a job, instead of the first job of the request.

    The response names a job of this request only if it is committed, and an
    earlier job in any case. It does not name a job that the caller may not see.
    Outside of a request this does nothing.
    """
    if _may_name(job):
        _of_request().chosen = job


def jobs_of_request() -> list[Job]:
    """Return the first few committed jobs that the request has asked for, or the chosen one."""
    jobs: _Jobs | None = g.get(_KEY)
    if jobs is None:
        return []
    named = jobs.named()
    return [named] if named and named is jobs.chosen else jobs.committed


def listen() -> None:
    """Have the response of each request that asks for jobs name the first one."""
    if _note not in listeners:
        listeners.append(_note)


def _note(job: Job) -> None:
    if _may_name(job):
        _of_request().note(job)


def _may_name(job: Job) -> bool:
    # decided now, because the user's session may have ended at the end of the request
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
    """Let scripts of other sites read the header if CKAN lets them read the response."""
    # CKAN calls this after us, too late to know whether it has allowed the site
    set_cors_headers_for_response(response)
    if _ORIGIN in response.headers:
        others = response.headers.get(_EXPOSED)
        response.headers[_EXPOSED] = f"{others}, {HEADER}" if others else HEADER
