"""Lists of jobs: all jobs, the visitor's own ones, and the rows that a page polls."""

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
    scope = tk.request.args.get("scope", "own")
    return tk.render("files_jobs/snippets/rows.html", _of_rows(found, scope))


def _page(scope: str, template: str, more: dict[str, Any]) -> Any:
    whose = {} if scope == "all" else {"user_id": tk.current_user.id}
    chosen = filters.given(tk.request.args)
    endpoint = f"files_jobs.{scope}_jobs"
    variables = {**more, "scope": scope, "endpoint": endpoint, "filters": chosen}
    try:
        variables["queues"] = call("files_queue_list", **whose)
        variables["rate"] = call("files_job_rate", **whose)
        if scope == "all":
            variables["workers"] = call("files_worker_list")
            variables["schedules"] = call("files_schedule_list")
    except tk.ValidationError as error:
        return tk.render(template, {**variables, "missing": text_of(error)}), 503
    variables |= _found({**chosen, **whose})
    variables |= _of_rows(variables["jobs"], scope)
    return tk.render(template, variables)


def _found(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of a page of jobs.

    If a filter is invalid there are no jobs, and ``errors`` says why.

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


def _of_rows(jobs: list[dict[str, Any]], scope: str) -> dict[str, Any]:
    """Return what the rows of a table need."""
    users = _users(jobs) if scope == "all" else {}
    return {"jobs": jobs, "scope": scope, "users": users, "next": page_to_return_to()}


def _users(jobs: list[dict[str, Any]]) -> dict[str, model.User]:
    """Return the users who have asked for jobs, by their ids."""
    ids = {job["user_id"] for job in jobs if job["user_id"]}
    users = model.Session.query(model.User).filter(model.User.id.in_(ids)) if ids else ()
    return {user.id: user for user in users}
