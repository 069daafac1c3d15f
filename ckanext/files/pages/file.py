"""The page of one file: what it is, a preview, and what its visitor may do with it.

Each change is a form of its own that leads back to the page, or to the list from which the visitor
has come. The actions behind the forms decide who may do what; the page shows the same.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.types import Response
from flask import Blueprint

from ckanext.files.csrf import protect
from ckanext.files.error_texts import text_of
from ckanext.files.form_answers import next_page
from ckanext.files.ownership import is_id
from ckanext.files.search import (
    BEFORE_DOWNLOAD,
    Mention,
    describe_owners,
    file_dicts,
    find_mentions,
)
from ckanext.files.store import Owner

from .listing import OWNER_TYPES, with_fields
from .preview import NOTHING, pdf_response, preview_of
from .refused import refused
from .rights import may, may_see
from .suggestions import suggested_owners

blueprint = protect(Blueprint("files_page", __name__))


@blueprint.route("/file/<id>")
def show(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Show a file to a visitor who may download it."""
    file = _readable(id)
    if file is None:
        return refused()
    return tk.render("files/pages/file.html", _variables(file, preview=preview_of(file)))


@blueprint.route("/file/preview/<id>")
def preview(id: str) -> Any:  # noqa: A002
    """Send a PDF for the frame on the page of a file."""
    file = _readable(id)
    response = pdf_response(file) if file else None
    if response is None:
        return refused()
    # CKAN marks a response that it does not render as public
    tk.request.environ["__no_cache__"] = True
    return response


@blueprint.route("/file/edit/<id>", methods=["POST"])
def edit(id: str) -> Any:  # noqa: A002
    """Change the title and the name of a file."""
    file, form = _readable(id), tk.request.form
    if file is None:
        return refused()

    def change() -> None:
        if form.get("title", "") != (file["title"] or ""):
            title = {"id": id, "title": form.get("title", "")}
            tk.get_action("files_title_update")({"defer_commit": True}, title)
        # commits the title, too
        tk.get_action("file_rename")({}, {"id": id, "name": form.get("name", "")})

    return _do(id, change, tk._("{file} was changed").format(file=file["display_name"]))


@blueprint.route("/file/transfer/<id>", methods=["POST"])
def transfer(id: str) -> Any:  # noqa: A002
    """Give a file to another owner."""
    file, form = _readable(id), tk.request.form
    if file is None:
        return refused()
    # a suggestion instead of the text
    name = form.get("choice") or form.get("owner_id", "").strip()
    owner = {"owner_type": form.get("owner_type", ""), "owner_id": name}
    data = {"id": id, **owner, "force": "force" in form}

    def change() -> None:
        try:
            tk.get_action("files_transfer_ownership")({}, data)
        except tk.ValidationError as error:  # for sysadmins, whom no auth function stops
            if "owner_id" not in error.error_dict:
                raise
            raise _NotTransferredError from None
        except tk.NotAuthorized:
            if not may("file_rename", id):
                raise
            # the same for a name that does not exist and one that is not for the user
            raise _NotTransferredError(not data["force"] and _may_transfer(data)) from None

    try:
        return _do(id, change, tk._("{file} has a new owner").format(file=file["display_name"]))
    except _NotTransferredError as error:
        model.Session.rollback()
        return _ask_again(file, data, is_kept=error.is_kept)


class _NotTransferredError(Exception):
    """The user may edit the file, but it has not gone to the owner whom the form names.

    :param is_kept: it would go there with force.
    """

    def __init__(self, is_kept: bool = False) -> None:
        self.is_kept = is_kept


def _ask_again(file: dict[str, Any], data: dict[str, Any], *, is_kept: bool) -> Any:
    """Show the form as it was sent, with what to do."""
    shown: dict[str, Any] = {"preview": NOTHING, "sent": data, "is_kept": is_kept}
    if not is_kept:
        shown["suggestions"] = suggested_owners(data["owner_type"], data["owner_id"])
    return tk.render("files/pages/file.html", _variables(file, **shown))


def _may_transfer(data: dict[str, Any]) -> bool:
    try:
        tk.check_access("files_transfer_ownership", {}, {**data, "force": True})
    except tk.NotAuthorized:
        return False
    return True


@blueprint.route("/file/delete/<id>", methods=["GET", "POST"])
def delete(id: str) -> Any:  # noqa: A002
    """Ask whether to delete a file, with what will break; delete it."""
    file = _readable(id)
    if file is None or not may("file_delete", id):
        return refused()
    if tk.request.method == "GET":
        mentions = _visible_mentions(id)
        return tk.render("files/pages/delete.html", {**_variables(file), "mentions": mentions})
    try:
        tk.get_action("file_delete")({}, {"id": id})
    except (tk.ValidationError, tk.NotAuthorized) as error:
        return _failed(id, error)
    except tk.ObjectNotFound:
        return refused()
    tk.h.flash_success(tk._("{file} was deleted").format(file=file["display_name"]))
    return tk.redirect_to(next_page() or tk.url_for("files_pages.own"))


def _do(id_: str, change: Any, success: str) -> Any:
    """Change a file, and lead back to its page with a message."""
    try:
        change()
    except (tk.ValidationError, tk.NotAuthorized) as error:
        return _failed(id_, error)
    except tk.ObjectNotFound:
        return refused()
    tk.h.flash_success(success)
    if _readable(id_) is None:  # it has gone to an owner whom the visitor may not see
        return tk.redirect_to(next_page() or tk.url_for("files_pages.own"))
    return _to_page(id_)


def _failed(id_: str, error: Any) -> Response:
    model.Session.rollback()
    tk.h.flash_error(tk._("Nothing was changed: {reason}").format(reason=text_of(error)))
    return _to_page(id_)


def _to_page(id_: str) -> Response:
    return tk.redirect_to("files_page.show", id=id_, next=next_page())


def _readable(id_: str) -> dict[str, Any] | None:
    """Return a file with what a page shows of it; None if the visitor may not download it."""
    if not is_id(id_) or not all(may(auth_function, id_) for auth_function in BEFORE_DOWNLOAD):
        return None
    files = with_fields(file_dicts(model.Session(), [id_]))
    if not files:
        return None
    [file] = files
    owner = file["owner"]
    if owner and not may_see(Owner(owner["type"], owner["id"])):
        return {**file, "owner": None, "fields": []}
    return file


def _variables(file: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "file": file,
        "next_page": next_page(),
        "may_edit": may("file_rename", file["id"]),
        "may_delete": may("file_delete", file["id"]),
        "owner_types": OWNER_TYPES,
        **more,
    }


def _visible_mentions(file_id: str) -> list[dict[str, Any]]:
    """Return what the visitor may see of what names a file."""
    session = model.Session()
    found: list[Mention] = [m for m in find_mentions(session, file_id) if may_see(m.owner)]
    owners = describe_owners(session, [mention.owner for mention in found])
    return [{**owners[m.owner]._asdict(), "fields": m.fields} for m in found]
