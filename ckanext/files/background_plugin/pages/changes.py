"""Changes of many jobs, and of queues."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.error_texts import text_of

from . import filters
from .blueprint import blueprint, call, for_sysadmins, for_users


@blueprint.route("/job/change", methods=["POST"])
@for_users
def change() -> Any:
    """End all jobs that match the filters of a list, or have them run again.

    The list names the newest job that it has found: later ones were not meant.
    """
    form = tk.request.form
    endpoint, chosen = filters.scope(form), filters.given(form)
    wanted = {**chosen, "before": form["before"]} if "before" in form else chosen
    if endpoint == "files_jobs.own_jobs":
        wanted = {**wanted, "user_id": tk.current_user.id}
    try:
        if form.get("action") == "retry":
            _flash_retried(call("files_jobs_retry", **wanted))
        else:
            _flash_cancelled(call("files_jobs_cancel", **wanted))
    except tk.NotAuthorized:
        return tk.abort(403, tk._("Not authorized to see this page"))
    except tk.ValidationError as error:
        tk.h.flash_error(text_of(error))
    return tk.redirect_to(filters.address(endpoint, chosen))


@blueprint.route("/ckan-admin/jobs/queue", methods=["POST"])
@for_sysadmins
def queue() -> Any:
    """Pause a queue, or resume it."""
    form = tk.request.form
    name, pauses = form.get("name", ""), form.get("action") == "pause"
    try:
        call("files_queue_pause" if pauses else "files_queue_resume", queue=name)
    except tk.ValidationError as error:
        tk.h.flash_error(text_of(error))
    else:
        done = tk._("Queue {queue} is paused") if pauses else tk._("Queue {queue} is resumed")
        tk.h.flash_success(done.format(queue=name))
    return tk.redirect_to(filters.address("files_jobs.all_jobs", filters.given(form)))


def _flash_cancelled(result: dict[str, Any]) -> None:
    number = result["changed"]
    done = tk.ungettext(
        "{number} job is being cancelled", "{number} jobs are being cancelled", number
    )
    _flash(done.format(number=tk.h.localised_number(number)), result["more"])


def _flash_retried(result: dict[str, Any]) -> None:
    number = result["changed"]
    done = tk.ungettext("{number} job will run again", "{number} jobs will run again", number)
    _flash(done.format(number=tk.h.localised_number(number)), result["more"])


def _flash(done: str, more: bool) -> None:
    tk.h.flash_success(done)
    if more:
        tk.h.flash_notice(tk._("There are more jobs. Repeat it for the rest."))
