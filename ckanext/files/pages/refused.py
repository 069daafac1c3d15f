"""The page that a visitor gets instead of a file.

CKAN answers 404 to a visitor who may not have a file, so that no visitor learns which files there
are. Its page says nothing about logging in. Ours has the same words for a file that is missing and
for one that the visitor may not see, and leads back there after a login. The pages of files do the
same. ``/dashboard/files`` exists for each user and reveals nothing, so it redirects to the login.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint, g

blueprint = Blueprint("files_refused", __name__)

_DOWNLOAD = "file.download"
_NOT_FOUND = 404


def refused(*, is_list: bool = False) -> tuple[str, int]:
    """Return the page and its status. No cache keeps it: another visitor may get the file.

    :param is_list: it stands for a page of files, and not for a file.
    """
    tk.request.environ["__no_cache__"] = True
    return _page(is_list), _NOT_FOUND


def to_login() -> Any:
    """Lead a visitor to the login, as CKAN's dashboard does, and then back to this page."""
    tk.request.environ["__no_cache__"] = True
    tk.h.flash_error(tk._("Not authorized to see this page"))
    return tk.redirect_to("user.login", next=tk.h.current_url())


@blueprint.after_app_request
def explain_refused_download(response: Any) -> Any:
    """Replace CKAN's page in the response to a browser; other clients get what CKAN sends."""
    if (
        tk.request.endpoint == _DOWNLOAD
        and response.status_code == _NOT_FOUND
        and "text/html" in tk.request.headers.get("Accept", "")
    ):
        response.set_data(_page())
        response.mimetype = "text/html"
    return response


def _page(is_list: bool = False) -> str:
    # CKAN has rendered its own page in this request, and leaves out what that one has loaded
    g.pop("_webassets", None)
    user = tk.current_user
    is_known = bool(user and user.is_authenticated)
    login = None if is_known else tk.url_for("user.login", next=tk.h.current_url())
    return tk.render("files/pages/refused.html", {"login_url": login, "is_list": is_list})
