"""The page of a file, and the PDF in a frame on it."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.pages.preview import pdf_response, preview_of
from ckanext.files.pages.refused import refused

from .page import blueprint, readable_file, show_file


@blueprint.route("/file/<id>")
def show(id: str) -> Any:  # noqa: A002 - CKAN's name for it
    """Show a file to a visitor who may download it."""
    file = readable_file(id)
    return show_file(file, preview_of(file)) if file else refused()


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
