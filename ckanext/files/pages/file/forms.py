"""The forms that change a file, give it to another owner, or delete it."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.form_choices import read_flag
from ckanext.files.pages.refused import refused
from ckanext.files.pages.suggestions import suggested_owners
from ckanext.files.pages.visitor import may_see
from ckanext.files.search import describe_owners, find_mentions
from ckanext.files.store import is_allowed

from .changes import NotDoneError, carry_out
from .page import NO_FORM, RefusedForm, blueprint, common_variables, readable_file, to_page

_MOST_MENTIONS = 100
"""The most of what names a file that a page shows."""


@blueprint.route("/file/<any(edit, transfer):form>/<id>", methods=["GET", "POST"])
def change(form: str, id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Change the title and the name of a file, or give it to another owner."""
    file = readable_file(id)
    if file is None or not is_allowed("file_rename", {"id": id}):
        return refused()
    if tk.request.method == "GET":  # the address of a form that was shown again
        return to_page(id)
    changes = {
        "edit": (_edit, tk._("{file} was changed")),
        "transfer": (_transfer, tk._("{file} has a new owner")),
    }
    do, sentence = changes[form]
    return carry_out(file, form, partial(do, file), sentence)


def _edit(file: dict[str, Any]) -> None:
    form = tk.request.form
    title = form.get("title", "")
    if title != (file["title"] or ""):
        data = {"id": file["id"], "title": title}
        tk.get_action("files_title_update")({"defer_commit": True}, data)
    # commits the title, too
    tk.get_action("file_rename")({}, {"id": file["id"], "name": form.get("name", "")})


def _transfer(file: dict[str, Any]) -> None:
    form = tk.request.form
    # a suggestion instead of the text
    name = form.get("choice") or form.get("owner_id", "").strip()
    owner = {"owner_type": form.get("owner_type", ""), "owner_id": name}
    force = read_flag(form, "force")
    data = {"id": file["id"], **owner, "force": force}
    try:
        tk.get_action("files_transfer_ownership")({}, data)
    except tk.NotAuthorized:
        with_force = {**data, "force": True}
        if not data["force"] and is_allowed("files_transfer_ownership", with_force):
            raise _pinned(data["id"]) from None
        # the same for a name that does not exist and one that is not for the user
        raise _no_such_owner(data) from None
    except tk.ValidationError as error:  # of sysadmins, whom no auth function stops
        if "force" in error.error_dict:
            raise _pinned(data["id"]) from None
        if "owner_id" in error.error_dict:
            raise _no_such_owner(data) from None
        raise


def _pinned(file_id: str) -> NotDoneError:
    sentence = tk._(
        "Nothing was changed: the file is pinned to its owner. To transfer it nevertheless, tick"
        " the box."
    )
    return NotDoneError(sentence, mentions=_visible_mentions(file_id))


def _no_such_owner(data: dict[str, Any]) -> NotDoneError:
    sentence = tk._("Nothing was changed: there is no such owner to give the file to")
    return NotDoneError(sentence, suggested_owners(data["owner_type"], data["owner_id"]))


@blueprint.route("/file/delete/<id>", methods=["GET", "POST"])
def delete(id: str) -> Any:  # noqa: A002
    """Ask whether to delete a file; delete it."""
    file = readable_file(id)
    if file is None or not is_allowed("file_delete", {"id": id}):
        return refused()
    if tk.request.method == "GET":
        return _ask(file)
    do = partial(tk.get_action("file_delete"), {}, {"id": id})
    return carry_out(file, "delete", do, tk._("{file} was deleted"), show=_ask)


def _ask(file: dict[str, Any], refused_form: RefusedForm = NO_FORM) -> str:
    more = {"mentions": _visible_mentions(file["id"]), "refused_form": refused_form}
    return tk.render("files/pages/delete.html", {**common_variables(file), **more})


def _visible_mentions(file_id: str) -> list[dict[str, Any]]:
    """Return the first of what names a file and the visitor may see."""
    session = model.Session()
    visible = (mention for mention in find_mentions(session, file_id) if may_see(mention.owner))
    found = list(islice(visible, _MOST_MENTIONS))
    owners = describe_owners(session, [mention.owner for mention in found])
    return [{**owners[m.owner]._asdict(), "fields": m.fields} for m in found]
