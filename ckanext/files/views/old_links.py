"""Links to files that ckanext-files 1.x has made."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan.types import Response
from flask import Blueprint

blueprint = Blueprint("files_old_links", __name__)


@blueprint.route("/files/download/<id>")
def download(id: str) -> Response:  # noqa: A002 - the same name as in CKAN's route
    """Send the visitor to the page that has the file now."""
    return tk.redirect_to("file.download", id=id)
