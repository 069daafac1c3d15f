"""Changes of many jobs, and of queues."""

from __future__ import annotations

from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from ckan.types import Context
from werkzeug.datastructures import MultiDict

from ckanext.files.background.search import Count
from ckanext.files.error_texts import text_of
from ckanext.files.form_choices import read_choice

from ..action_on_found import count_changeable
from . import filters
from .blueprint import blueprint, call, for_sysadmins, for_users


class _Change(NamedTuple):
    """A change of all jobs that filters find."""

    action: str
    """``cancel`` or ``retry``."""

    scope: str
    """``own`` or ``all``: the list that has led here."""

    filters: dict[str, Any]
    """The filters of that list."""

    arguments: dict[str, Any]
    """For the action: the filters, and ``before``, after which it changes no job."""


@blueprint.route("/job/change")
@for_users
def ask() -> Any:
    """Ask whether to cancel or retry the jobs that filters find."""
    wanted = _read(tk.request.args)
    context: Context = {"user": tk.current_user.name}
    try:
        count, before = count_changeable(wanted.action, context, wanted.arguments)
    except (tk.NotAuthorized, tk.ValidationError) as error:
        return _refused(wanted, error)
    if before is None or (count.is_exact and not count.number):
        _flash(wanted.action, changed=0, more=False)
        return _to_list(wanted)
    shown = {
        "question": _question(wanted.action, count),
        "action": wanted.action,
        "scope": wanted.scope,
        "filters": wanted.filters,
        "before": before,
    }
    return tk.render("files_jobs/change.html", shown)


@blueprint.route("/job/change", methods=["POST"])
@for_users
def change() -> Any:
    """Cancel or retry the jobs that the question was about."""
    wanted = _read(tk.request.form)
    try:
        done = call(f"files_jobs_{wanted.action}", **wanted.arguments)
    except (tk.NotAuthorized, tk.ValidationError) as error:
        return _refused(wanted, error)
    _flash(wanted.action, **done)
    return _to_list(wanted)


@blueprint.route("/ckan-admin/jobs/queue", methods=["POST"])
@for_sysadmins
def queue() -> Any:
    """Pause a queue, or resume it."""
    form = tk.request.form
    name, action = form.get("name", ""), read_choice(form, "action", "pause", "resume")
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


def _read(sent: MultiDict[str, str]) -> _Change:
    action = read_choice(sent, "action", "cancel", "retry")
    scope = read_choice(sent, "scope", "own", "all")
    chosen = filters.given(sent)
    before = {"before": sent["before"]} if "before" in sent else {}
    whose = {"user_id": tk.current_user.id} if scope == "own" else {}
    return _Change(action, scope, chosen, {**chosen, **before, **whose})


def _refused(wanted: _Change, error: tk.NotAuthorized | tk.ValidationError) -> Any:
    if isinstance(error, tk.NotAuthorized):
        return tk.abort(403, tk._("Not authorized to see this page"))
    tk.h.flash_error(text_of(error))
    return _to_list(wanted)


def _to_list(wanted: _Change) -> Any:
    return tk.redirect_to(filters.address(f"files_jobs.{wanted.scope}_jobs", wanted.filters))


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
