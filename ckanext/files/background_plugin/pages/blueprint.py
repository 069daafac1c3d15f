"""The blueprint of the pages, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

import ckan.plugins.toolkit as tk
from flask import Blueprint, Response

from ckanext.files.csrf import protect
from ckanext.files.next_page import next_page

blueprint = protect(Blueprint("files_jobs", __name__))

_STOP_POLLING = 286
"""The status by which a server has htmx poll no more."""

View = Callable[..., Any]


def for_users(view: View) -> View:
    """Send a visitor who is not logged in to the login, as CKAN's dashboard does."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if tk.current_user.is_anonymous:
            if _is_poll():
                return _stop_polling()
            if tk.request.method != "GET":
                return tk.abort(403, tk._("Not authorized to see this page"))
            tk.h.flash_error(tk._("Not authorized to see this page"))
            return tk.redirect_to("user.login", next=here())
        return view(*args, **kwargs)

    return checked


def no_job() -> Any:
    """Answer that there is no job that the visitor may see."""
    return _stop_polling() if _is_poll() else tk.abort(404, tk._("Job not found"))


def _is_poll() -> bool:
    """Return whether htmx polls a part of a page that the visitor has open."""
    return tk.request.method == "GET" and "HX-Request" in tk.request.headers


def _stop_polling() -> Response:
    """Let htmx leave the page as it is: the visitor has logged out, or the job is deleted."""
    # a login page would come into the middle of the page, and messages would wait for the next one
    return Response("", _STOP_POLLING, {"HX-Reswap": "none"})


def for_sysadmins(view: View) -> View:
    """Refuse all but sysadmins, as CKAN's pages for administrators do."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            tk.check_access("sysadmin", {"user": tk.current_user.name})
        except tk.NotAuthorized:
            return tk.abort(403, tk._("Need to be system administrator to administer"))
        return view(*args, **kwargs)

    return checked


def call(action: str, /, **data: Any) -> Any:
    """Call an action for the visitor."""
    return tk.get_action(action)({"user": tk.current_user.name}, data)


def here() -> str:
    """Return the address of the present page, in its language, to which a form leads back."""
    page = tk.url_for(tk.request.endpoint, **(tk.request.view_args or {}))
    # not by url_for, which takes some parameters for its own
    query = urlencode(list(tk.request.args.items(multi=True)))
    return f"{page}?{query}" if query else page


def page_to_return_to() -> str:
    """Return the page to which the forms of this one lead back: the one that htmx polls."""
    return next_page() or here()


def back(default: str) -> Any:
    """Return to the page from which a form was sent.

    :param default: an address, unless the form names a page of this site.
    """
    return tk.redirect_to(next_page() or default)
