"""The form that gives a file to another owner."""

from __future__ import annotations

from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.pages.refused import refused
from ckanext.files.pages.suggestions import suggested_owners
from ckanext.files.store import is_allowed

from .changes import NotDoneError, carry_out
from .page import blueprint, readable_file, to_page


@blueprint.route("/file/transfer/<id>", methods=["GET", "POST"])
def transfer(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Give a file to another owner."""
    file = readable_file(id)
    if file is None or not is_allowed("file_rename", {"id": id}):
        return refused()
    if tk.request.method == "GET":  # the address of a form that was shown again
        return to_page(id)
    form = tk.request.form
    # a suggestion instead of the text
    name = form.get("choice") or form.get("owner_id", "").strip()
    owner = {"owner_type": form.get("owner_type", ""), "owner_id": name}
    change = partial(_transfer, {"id": id, **owner, "force": "force" in form})
    return carry_out(file, "transfer", change, tk._("{file} has a new owner"))


def _transfer(data: dict[str, Any]) -> None:
    try:
        tk.get_action("files_transfer_ownership")({}, data)
    except tk.NotAuthorized:
        with_force = {**data, "force": True}
        if not data["force"] and is_allowed("files_transfer_ownership", with_force):
            raise _kept() from None
        # the same for a name that does not exist and one that is not for the user
        raise _no_such_owner(data) from None
    except tk.ValidationError as error:  # of sysadmins, whom no auth function stops
        if "force" in error.error_dict:
            raise _kept() from None
        if "owner_id" in error.error_dict:
            raise _no_such_owner(data) from None
        raise


def _kept() -> NotDoneError:
    sentence = tk._(
        "Nothing was changed: the owner keeps this file. To transfer it nevertheless, tick the box."
    )
    return NotDoneError(sentence)


def _no_such_owner(data: dict[str, Any]) -> NotDoneError:
    sentence = tk._("Nothing was changed: there is no such owner to give the file to")
    return NotDoneError(sentence, suggested_owners(data["owner_type"], data["owner_id"]))
