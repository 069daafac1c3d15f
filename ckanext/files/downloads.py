"""Downloads of files: no cache keeps a private one for other visitors.

CKAN 2.12.0 needs three corrections, :data:`core_downloads`: no file runs script in the site's
origin, none is sent by lines of any length, and no address of a download makes CKAN fail. The
backport does so by itself.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint

from .filekeeper.chunks import Chunks
from .parameters import all_storable

blueprint = Blueprint("files_downloads", __name__)
core_downloads = Blueprint("files_core_downloads", __name__)
"""Corrections to the downloads of CKAN 2.12.0."""

_DOWNLOADS = ("file.download", "file.trusted_download", "file.public_download")
_NOT_MODIFIED = 304
_SENT = (200, 206, _NOT_MODIFIED)


@blueprint.after_app_request
def keep_private(response: Any) -> Any:
    """Mark the response to a download as private, unless an anonymous visitor gets the file.

    CKAN marks each response that it does not render as ``public``, also one that it sent because of
    a token, so that a proxy in front of the portal may keep it. An error is private because another
    visitor may get the file, and a redirect into a cloud because its address is signed for a short
    time. ``/file/public-download`` checks no access and stays as CKAN has it.

    A plugin whose auth function gives files to anonymous visitors, by their network for example,
    has to set ``__no_cache__`` in the request's ``environ``.
    """
    endpoint = tk.request.endpoint
    if endpoint not in ("file.download", "file.trusted_download"):
        return response
    headers = ["Cookie", *{"Authorization", tk.config["apitoken_header_name"]}]
    response.vary.update(headers)
    is_public = endpoint == "file.download" and response.status_code in _SENT
    if not is_public or _has_credentials(headers):
        response.cache_control.no_cache = True
        # CKAN writes the rest of the header after this function, by what it finds here
        tk.request.environ["__no_cache__"] = True
    return response


def _has_credentials(headers: list[str]) -> bool:
    """Return whether the request may get more than an anonymous one."""
    request: Any = tk.request
    has_token = any(name in request.headers for name in headers if name != "Cookie")
    # a plugin may read a token from the query string
    return bool(tk.g.get("user") or has_token or request.query_string)


@core_downloads.before_app_request
def refuse_odd_address() -> None:
    """Answer 404 to an address that PostgreSQL cannot look up: CKAN 2.12.0 answers 500."""
    if tk.request.endpoint in _DOWNLOADS and not all_storable(tk.request.view_args):
        tk.abort(404)


@core_downloads.after_app_request
def send_as_attachment(response: Any) -> Any:
    """Send a file as an attachment, unless its type is in ``ckan.files.inline_content_types``.

    CKAN 2.12.0 does not keep this rule of its own for storages of the type ``ckan:fs``: it would
    show an HTML page that some user has uploaded, with the cookies of the visitor. Images of users
    and groups still appear: browsers ignore ``Content-Disposition`` of what a page embeds, such as
    by ``<img>``.
    """
    if tk.request.endpoint not in _DOWNLOADS:
        return response
    # browsers apply the headers of "not modified" to the file that they have kept
    if response.status_code >= 300 and response.status_code != _NOT_MODIFIED:
        return response
    types = tk.config["ckan.files.inline_content_types"]
    header = response.headers.get("Content-Disposition", "")
    if header.startswith("inline") and not {"*", response.mimetype} & set(types):
        response.headers["Content-Disposition"] = header.replace("inline", "attachment", 1)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@core_downloads.after_app_request
def send_in_chunks(response: Any) -> Any:
    """Send an open file in chunks.

    CKAN 2.12.0 hands it to the web server as it is, which sends it by lines: one line is in memory,
    and it may be the whole file. The storages of CKAN's own and of this extension do better, but
    not each storage of another plugin.
    """
    if tk.request.endpoint in _DOWNLOADS and hasattr(response.response, "read"):
        response.response = Chunks(response.response)
    return response
