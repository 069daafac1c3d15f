"""Let no file run script in the site's origin, and no address make CKAN fail.

By CKAN's rule a file is sent as an attachment, unless its type is one of
``ckan.files.inline_content_types``. CKAN 2.12.0 does not keep it for storages
of the type ``ckan:fs``: an HTML page that some user has uploaded would be
shown, with the cookies of whoever looks at it.

Images of users and groups are shown all the same: what a page embeds, such as
by ``<img>``, browsers show without a look at ``Content-Disposition``.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint

from ckanext.files.storable import all_storable

blueprint = Blueprint("files_downloads", __name__)

_DOWNLOADS = ("file.download", "file.trusted_download", "file.public_download")
_NOT_MODIFIED = 304


@blueprint.before_app_request
def refuse_odd_address() -> None:
    """Answer 404 to what PostgreSQL cannot look for: CKAN 2.12.0 answers 500."""
    if tk.request.endpoint in _DOWNLOADS and not all_storable(tk.request.view_args):
        tk.abort(404)


@blueprint.after_app_request
def send_as_attachment(response: Any) -> Any:
    """Correct the response to a download."""
    if tk.request.endpoint not in _DOWNLOADS:
        return response
    # browsers take the headers of "not modified" for those of the file that they have kept
    if response.status_code >= 300 and response.status_code != _NOT_MODIFIED:
        return response
    types = tk.config["ckan.files.inline_content_types"]
    header = response.headers.get("Content-Disposition", "")
    if header.startswith("inline") and not {"*", response.mimetype} & set(types):
        response.headers["Content-Disposition"] = header.replace("inline", "attachment", 1)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
