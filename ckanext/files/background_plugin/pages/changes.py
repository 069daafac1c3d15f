"""Changes of many jobs, and of queues."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.background.search import Count
from ckanext.files.error_texts import text_of
from ckanext.files.form_words import read_word

from ..action_on_found import count_changeable
from . import filters
from .blueprint import blueprint, call, for_sysadmins, for_users


@blueprint.route("/job/change", methods=["GET", "POST"])
@for_users
def change() -> Any:
    """Ask whether to end all jobs that match the filters of a list, or to run them again; do it.

    The list names the newest job that it has found: later ones were not meant.
    """
    does = tk.request.method == "POST"
    sent = tk.request.form if does else tk.request.args
    action = read_word(sent, "action", "cancel", "retry")
    scope = read_word(sent, "scope", "own", "all")
    chosen = filters.given(sent)
    wanted = {**chosen, "before": sent["before"]} if "before" in sent else chosen
    if scope == "own":
        wanted = {**wanted, "user_id": tk.current_user.id}
    try:
        if does:
            _flash(action, **call(f"files_jobs_{action}", **wanted))
        else:
            count = count_changeable(action, {"user": tk.current_user.name}, wanted)
            if count.number or not count.is_exact:
                return _ask(action, count, scope, chosen)
            _flash(action, changed=0, more=False)
    except tk.NotAuthorized:
        return tk.abort(403, tk._("Not authorized to see this page"))
    except tk.ValidationError as error:
        tk.h.flash_error(text_of(error))
    return tk.redirect_to(filters.address(f"files_jobs.{scope}_jobs", chosen))


@blueprint.route("/ckan-admin/jobs/queue", methods=["POST"])
@for_sysadmins
def queue() -> Any:
    """Pause a queue, or resume it."""
    form = tk.request.form
    name, action = form.get("name", ""), read_word(form, "action", "pause", "resume")
    try:
        call(f"files_queue_{action}", queue=name)
    except tk.ValidationError as error:
        tk.h.flash_error(text_of(error))
    else:
        done = {
            "pause": tk._("Queue {queue} is paused"),
            "resume": tk._("Queue {queue} is resumed"),
        }
        tk.h.flash_success(done[action].format(queue=name))
    return tk.redirect_to(filters.address("files_jobs.all_jobs", filters.given(form)))


def _ask(action: str, count: Count, scope: str, chosen: dict[str, Any]) -> str:
    shown = {
        "question": _question(action, count),
        "action": action,
        "scope": scope,
        "filters": chosen,
        "before": tk.request.args.get("before"),
    }
    return tk.render("files_jobs/change.html", shown)


def _question(action: str, count: Count) -> str:
    number = count.number
    if action == "cancel":
        exact = tk.ungettext("Cancel {number} job?", "Cancel {number} jobs?", number)
        more = tk._("Cancel more than {number} jobs?")
        unknown = tk._("Cancel an unknown number of jobs?")
    else:
        exact = tk.ungettext("Retry {number} job?", "Retry {number} jobs?", number)
        more = tk._("Retry more than {number} jobs?")
        unknown = tk._("Retry an unknown number of jobs?")
    inexact = more if number else unknown
    sentence = exact if count.is_exact else inexact
    return sentence.format(number=tk.h.localised_number(number))


def _flash(action: str, changed: int, more: bool) -> None:
    if action == "cancel":
        done = tk.ungettext(
            "{number} job is being cancelled", "{number} jobs are being cancelled", changed
        )
    else:
        done = tk.ungettext("{number} job will run again", "{number} jobs will run again", changed)
    tk.h.flash_success(done.format(number=tk.h.localised_number(changed)))
    if more:
        tk.h.flash_notice(tk._("There are more jobs. Repeat it for the rest."))
