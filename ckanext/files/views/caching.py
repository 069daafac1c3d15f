"""Let no cache hand a private file to strangers.

CKAN marks all that it does not render as ``public``, whoever asks, so that a
proxy before the portal may keep what a token has opened. Here the answer to a
download is private, unless a visitor without a name gets the file: then
everybody may have it. Private are also errors, which are none for others, and
addresses in a cloud, which are signed for a short time.

``/file/public-download`` asks for nobody's rights and stays as CKAN has it.

A plugin whose auth function gives files to visitors without a name, by their
network for example, has to set ``__no_cache__`` in the request's ``environ``.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint

blueprint = Blueprint("files_caching", __name__)

_SENT = (200, 206, 304)


@blueprint.after_app_request
def keep_private(response: Any) -> Any:
    """Tell caches who else may have the answer to a download."""
    endpoint = tk.request.endpoint
    if endpoint not in ("file.download", "file.trusted_download"):
        return response
    names = _headers_of_credentials()
    response.vary.update(names)
    is_public = endpoint == "file.download" and response.status_code in _SENT
    if not is_public or _shows_credentials(names):
        response.cache_control.no_cache = True
        # CKAN writes the rest of the header after this, from what it finds here
        tk.request.environ["__no_cache__"] = True
    return response


def _headers_of_credentials() -> list[str]:
    return ["Cookie", *{"Authorization", tk.config["apitoken_header_name"]}]


def _shows_credentials(names: list[str]) -> bool:
    """Tell whether the request may have got more than everybody would get."""
    request: Any = tk.request
    has_token = any(name in request.headers for name in names if name != "Cookie")
    # where a plugin finds a token that the address holds
    return bool(tk.g.get("user") or has_token or request.query_string)
