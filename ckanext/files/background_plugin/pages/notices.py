"""The notice on the page after a change: the jobs that the change has asked for.

The session of the visitor remembers them, so only this visitor sees them, and only on the first
page of a dataset, resource, group, organization or user after the change, until they have ended or
are dismissed.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan.common import session
from flask import Response

from .. import location
from .blueprint import back, blueprint, call, for_users, no_job, page_to_return_to
from .helpers import files_job_is_live

_KEY = "files_jobs_notices"

_MOST = 5
"""Jobs that a session remembers. A portal may keep sessions in cookies, which hold 4 KiB."""


def files_jobs_notices() -> list[dict[str, Any]]:
    """Return the jobs of the visitor's last changes, for the page that follows these."""
    if not session.get(_KEY) or not _is_page_of_something() or tk.current_user.is_anonymous:
        return []
    here = tk.request.path
    # the first such page after the change is the page that shows it
    noted = [{**each, "page": each["page"] or here} for each in session[_KEY]]
    shown = _jobs([each["id"] for each in noted if each["page"] == here])
    live = {job["id"] for job in shown if files_job_is_live(job)}
    _keep([each for each in noted if each["page"] != here or each["id"] in live])
    return shown


@blueprint.after_app_request
def _remember(response: Response) -> Response:
    """Remember the jobs that a form has asked for, when its answer leads to another page."""
    if tk.request.method == "POST" and response.status_code in (302, 303):
        user_id = getattr(tk.current_user, "id", None)
        asked = [job.id for job in location.jobs_of_request() if job.user_id == user_id]
        if asked:
            _keep([*session.get(_KEY, []), *({"id": id_, "page": None} for id_ in asked)])
    return response


@blueprint.route("/job/notice/<int:job_id>")
@for_users
def notice(job_id: int) -> Any:
    """Show a notice again, without the page around it."""
    if not any(each["id"] == job_id for each in session.get(_KEY, [])):
        return no_job()
    shown = _jobs([job_id])
    if not shown:
        return ""  # it is deleted
    more = {"job": shown[0], "next": page_to_return_to()}
    return tk.render("files_jobs/snippets/notice.html", more)


@blueprint.route("/job/dismiss/<int:job_id>", methods=["POST"])
@for_users
def dismiss(job_id: int) -> Any:
    """Forget a notice."""
    _keep([each for each in session.get(_KEY, []) if each["id"] != job_id])
    return back(tk.url_for("files_jobs.own_jobs"))


def _keep(noted: list[dict[str, Any]]) -> None:
    newest = list({each["id"]: each for each in noted}.values())[-_MOST:]
    if newest or _KEY in session:
        session[_KEY] = newest


def _jobs(ids: list[int]) -> list[dict[str, Any]]:
    """Return own jobs; none when the tables are missing: a page does not fail because of that."""
    if not ids:
        return []
    try:
        return call("files_job_list", id=ids, user_id=tk.current_user.id)["results"]
    except tk.ValidationError:
        return []


def _is_page_of_something() -> bool:
    """Return whether this is a page to which CKAN leads after a change."""
    endpoint = tk.request.endpoint or ""
    return endpoint.endswith(".read") and endpoint != "files_jobs.read"
