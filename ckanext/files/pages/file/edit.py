"""The form for the title and the name of a file."""

from __future__ import annotations

from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.pages.refused import refused
from ckanext.files.store import is_allowed

from .changes import carry_out
from .page import blueprint, readable_file, to_page


@blueprint.route("/file/edit/<id>", methods=["GET", "POST"])
def edit(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Change the title and the name of a file."""
    file = readable_file(id)
    if file is None or not is_allowed("file_rename", {"id": id}):
        return refused()
    if tk.request.method == "GET":  # the address of a form that was shown again
        return to_page(id)
    return carry_out(file, "edit", partial(_change, file), tk._("{file} was changed"))


def _change(file: dict[str, Any]) -> None:
    form = tk.request.form
    title = form.get("title", "")
    if title != (file["title"] or ""):
        data = {"id": file["id"], "title": title}
        tk.get_action("files_title_update")({"defer_commit": True}, data)
    # commits the title, too
    tk.get_action("file_rename")({}, {"id": file["id"], "name": form.get("name", "")})
