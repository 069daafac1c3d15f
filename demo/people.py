"""Who plays: the users, their organization, and their API tokens."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.types import Context

PASSWORD = "demo-password"
"""Of every user: the site listens on the loopback address only."""

ORGANIZATION = "hydrology"
CAPACITIES = {"alice": "editor", "bob": "member"}
TOKEN = "demo"


def make_people() -> dict[str, str]:
    """Make the users and their organization where they are missing.

    :returns: a new API token for each user.
    """
    tokens = {name: _token(name) for name in (_admin(), *map(_user, CAPACITIES))}
    _organization()
    return tokens


def _call(action: str, **data: Any) -> Any:
    context: Context = {"user": _site_user(), "ignore_auth": True}
    return tk.get_action(action)(context, data)


def _site_user() -> str:
    return tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]


def _user(name: str) -> str:
    if model.User.by_name(name) is None:
        email = f"{name}@demo.invalid"
        _call("user_create", name=name, fullname=name.title(), email=email, password=PASSWORD)
    return name


def _admin() -> str:
    admin = model.User.by_name(_user("admin"))
    assert admin
    if not admin.sysadmin:
        admin.sysadmin = True
        model.repo.commit()
    return "admin"


def _token(name: str) -> str:
    for token in _call("api_token_list", user_id=name):
        if token["name"] == TOKEN:
            _call("api_token_revoke", jti=token["id"])
    return _call("api_token_create", user=name, name=TOKEN)["token"]


def _organization() -> None:
    if model.Group.by_name(ORGANIZATION) is None:
        _call("organization_create", name=ORGANIZATION, title="Hydrology")
    for name, capacity in CAPACITIES.items():
        _call("organization_member_create", id=ORGANIZATION, username=name, role=capacity)
