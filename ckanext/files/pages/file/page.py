"""The page of a file, and the PDF in a frame on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from ckan import model
from flask import Blueprint

from ckanext.files.csrf import protect
from ckanext.files.next_page import next_page
from ckanext.files.ownership import is_id
from ckanext.files.pages.listing import OWNER_TYPES, with_fields
from ckanext.files.pages.preview import pdf_response, preview_of
from ckanext.files.pages.refused import refused
from ckanext.files.pages.suggestions import Suggestion
from ckanext.files.pages.visitor import may_see
from ckanext.files.search import file_dicts
from ckanext.files.store import BEFORE_DOWNLOAD, Owner, is_allowed

blueprint = protect(Blueprint("files_page", __name__))


class RefusedForm(NamedTuple):
    """A form that has changed nothing."""

    name: str
    """``edit``, ``transfer`` or ``delete``."""

    sent: dict[str, str]
    reason: str

    suggestions: Sequence[Suggestion] = ()
    """Owners that the visitor may have meant."""

    mentions: Sequence[Mapping[str, Any]] = ()
    """What names the file, if the visitor can force the change."""


NO_FORM = RefusedForm("", {}, "")


def readable_file(id_: str) -> dict[str, Any] | None:
    """Return a file with what a page shows of it; None if the visitor may not download it."""
    if not is_id(id_) or not all(is_allowed(name, {"id": id_}) for name in BEFORE_DOWNLOAD):
        return None
    files = with_fields(file_dicts(model.Session(), [id_]))
    if not files:
        return None
    [file] = files
    owner = file["owner"]
    if owner and not may_see(Owner(owner["type"], owner["id"])):
        return {**file, "owner": None, "fields": []}
    return file


def show_file(file: dict[str, Any], refused_form: RefusedForm = NO_FORM) -> str:
    """Return the page of a file."""
    variables = {
        "preview": preview_of(file),
        "refused_form": refused_form,
        "owner_types": OWNER_TYPES,
    }
    return tk.render("files/pages/file.html", {**common_variables(file), **variables})


def common_variables(file: dict[str, Any]) -> dict[str, Any]:
    """Return what all templates about a file know."""
    return {
        "file": file,
        "next_page": next_page(),
        "may_edit": is_allowed("file_rename", {"id": file["id"]}),
        "may_delete": is_allowed("file_delete", {"id": file["id"]}),
    }


def to_page(id_: str) -> Any:
    """Redirect to the page of a file."""
    return tk.redirect_to("files_page.show", id=id_, next=next_page())


@blueprint.route("/file/<id>")
def show(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Show a file to a visitor who may download it."""
    file = readable_file(id)
    return show_file(file) if file else refused()


@blueprint.route("/file/preview/<id>")
def preview(id: str) -> Any:  # noqa: A002
    """Send a PDF for the frame on the page of a file."""
    file = readable_file(id)
    response = pdf_response(file) if file else None
    if response is None:
        return refused()
    # CKAN marks a response that it does not render as public
    tk.request.environ["__no_cache__"] = True
    return response
