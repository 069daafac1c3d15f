"""The list from which a person chooses files for a field, loaded by htmx page by page."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from flask import Blueprint

from ckanext.files.parameters import all_storable

from .edited_form import edited_form
from .offered import OFFERED_AT_ONCE, offered_files

blueprint = Blueprint("files_chooser", __name__)

_CHOOSE = "files_chooser.choose"
_PARAMETERS = ("q", "owner_type", "owner")
_LAST_START = 100_000


@blueprint.route("/file/choose")
def choose() -> str:
    """Show files that the visitor may put into a field.

    The parameters are ``q``, parts of the name; ``start``, the number of files before these; and
    ``owner_type`` and ``owner`` with what the form edits. The script of the field marks the files
    that the form holds already.
    """
    arguments = tk.request.args
    if not tk.current_user.is_authenticated:
        tk.abort(401)  # the script offers the login
    if not all_storable(arguments.to_dict()):
        tk.abort(400)
    start = min(max(arguments.get("start", 0, int), 0), _LAST_START)
    form = edited_form(arguments.getlist("owner_type"), arguments.get("owner"))
    words, one_more = arguments.get("q", ""), OFFERED_AT_ONCE + 1
    files = offered_files(form, form.named_outside, words, start, one_more)
    following = {name: arguments.getlist(name) for name in _PARAMETERS}
    return tk.render(
        "files/snippets/choices.html",
        {
            "files": files[:OFFERED_AT_ONCE],
            "is_first": start == 0,
            "next_url": tk.url_for(_CHOOSE, **following, start=start + OFFERED_AT_ONCE)
            if len(files) > OFFERED_AT_ONCE
            else None,
        },
    )
