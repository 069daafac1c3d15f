"""Protect the pages of this extension against forged requests."""

from __future__ import annotations

import ckan.plugins.toolkit as tk
from ckan.lib import api_token
from flask import Blueprint, current_app

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def protect(blueprint: Blueprint) -> Blueprint:
    """Refuse requests that change something without the token of the user's session.

    CKAN checks the token as well, but 2.12 not always: once a visitor without a session has called
    an endpoint, it leaves that endpoint unprotected for all later requests of the process.

    A request with a valid API token needs no other one: no page of another site knows it. Any other
    content of that header does not count: browsers add a password that a proxy has asked for.
    """
    blueprint.before_request(check)
    return blueprint


def check() -> None:
    """Refuse the current request if it needs the token and does not have it."""
    from ckan.config.middleware.flask_app import csrf  # imports all of CKAN's pages

    if (
        tk.request.method not in _SAFE
        and current_app.config["WTF_CSRF_ENABLED"]
        and tk.current_user.is_authenticated
        and not _has_api_token()
    ):
        csrf.protect()


def _has_api_token() -> bool:
    token = tk.request.headers.get(tk.config["apitoken_header_name"], "")
    # CKAN has noted the use of the token already, with a commit
    user = api_token.get_user_from_token(token, update_access_time=False) if token else None
    return user is not None
