"""Lists of jobs: all jobs, the visitor's own ones, and the rows that a page asks for again."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.error_texts import text_of

from . import filters
from .blueprint import blueprint, call, for_sysadmins, for_users, page_to_return_to

_ROWS = 20
"""Jobs on a page."""


@blueprint.route("/ckan-admin/jobs")
@for_sysadmins
def all_jobs() -> Any:
    """Show the jobs of all users, with queues, workers and schedules."""
    return _page("all", "files_jobs/all.html", {})


@blueprint.route("/dashboard/jobs")
@for_users
def own_jobs() -> Any:
    """Show the jobs for which the visitor has asked."""
    user: Any = tk.current_user
    more = {"user_dict": {"name": user.name, "display_name": user.display_name}}
    return _page("own", "files_jobs/own.html", more)


@blueprint.route("/job/rows")
@for_users
def rows() -> Any:
    """Show some jobs as rows of a table, without the page around it."""
    ids = tk.request.args.getlist("id")[:_ROWS]
    try:
        found = call("files_job_list", id=ids, limit=_ROWS)["results"] if ids else []
    except tk.ValidationError as error:
        return text_of(error), 400
    return tk.render("files_jobs/snippets/rows.html", _of_rows(found, tk.request.args))


def _page(scope: str, template: str, more: dict[str, Any]) -> Any:
    whose = {} if scope == "all" else {"user_id": tk.current_user.id}
    chosen = filters.given(tk.request.args)
    try:
        queues = call("files_queue_list", **whose)
        rate = call("files_job_rate", **whose)
    except tk.ValidationError as error:
        return tk.render(template, {**more, "scope": scope, "missing": text_of(error)}), 503
    if scope == "all":
        more = {**more, **_workers()}
    shown = {
        **_found({**chosen, **whose}),
        "scope": scope,
        "endpoint": f"files_jobs.{scope}_jobs",
        "filters": chosen,
        "queues": queues,
        "rate": rate,
    }
    return tk.render(template, {**more, **shown, **_of_rows(shown["jobs"], {"scope": scope})})


def _workers() -> dict[str, Any]:
    return {"workers": call("files_worker_list"), "schedules": call("files_schedule_list")}


def _found(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a page of jobs; none, with the errors, if a filter is invalid.

    ``newest`` is the id of the newest job found, which the address of an older page has: later
    jobs were on none of the pages. An address made by hand may lack it.
    """
    args = tk.request.args
    before = args.get("before")
    try:
        found = call("files_job_list", **wanted, limit=_ROWS, before=before)
    except tk.ValidationError as error:
        return {"jobs": [], "found": None, "errors": error.error_dict}
    jobs = [job["id"] for job in found["results"]]
    newest = args.get("newest", type=int) if before else next(iter(jobs), None)
    return {"jobs": found["results"], "found": found, "newest": newest, "errors": {}}


def _of_rows(jobs: list[dict[str, Any]], given: Any) -> dict[str, Any]:
    """Return what the rows of a table need."""
    scope = given.get("scope", "own")
    users = _users(jobs) if scope == "all" else {}
    return {"jobs": jobs, "scope": scope, "users": users, "next": page_to_return_to()}


def _users(jobs: list[dict[str, Any]]) -> dict[str, model.User]:
    """Return the users who have asked for jobs, by their ids."""
    ids = {job["user_id"] for job in jobs if job["user_id"]}
    users = model.Session.query(model.User).filter(model.User.id.in_(ids)) if ids else ()
    return {user.id: user for user in users}
