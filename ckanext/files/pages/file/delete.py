"""The question whether to delete a file, with what will break."""

from __future__ import annotations

from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.pages.refused import refused
from ckanext.files.pages.rights import may_see
from ckanext.files.search import describe_owners, find_mentions
from ckanext.files.store import is_allowed

from .changes import carry_out
from .page import NO_FORM, RefusedForm, blueprint, common_variables, readable_file


@blueprint.route("/file/delete/<id>", methods=["GET", "POST"])
def delete(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Ask whether to delete a file; delete it."""
    file = readable_file(id)
    if file is None or not is_allowed("file_delete", {"id": id}):
        return refused()
    if tk.request.method == "GET":
        return _ask(file)
    change = partial(tk.get_action("file_delete"), {}, {"id": id})
    return carry_out(file, "delete", change, tk._("{file} was deleted"), show=_ask)


def _ask(file: dict[str, Any], refused_form: RefusedForm = NO_FORM) -> str:
    more = {"mentions": _visible_mentions(file["id"]), "refused_form": refused_form}
    return tk.render("files/pages/delete.html", {**common_variables(file), **more})


def _visible_mentions(file_id: str) -> list[dict[str, Any]]:
    """Return what the visitor may see of what names a file."""
    session = model.Session()
    found = [mention for mention in find_mentions(session, file_id) if may_see(mention.owner)]
    owners = describe_owners(session, [mention.owner for mention in found])
    return [{**owners[m.owner]._asdict(), "fields": m.fields} for m in found]
