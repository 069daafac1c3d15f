"""Users, and what they call."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan.tests import factories


def call(action: str, user: str | None, /, **data: Any) -> Any:
    """Call an action on behalf of a user; None ignores authorization."""
    context: Any = {"ignore_auth": True} if user is None else {"user": user}
    return tk.get_action(action)(context, data)


def new_user(*, sysadmin: bool = False) -> str:
    """Make a user."""
    factory = factories.Sysadmin if sysadmin else factories.User
    return factory()["name"]


def site_user() -> str:
    """Return the sysadmin that CKAN has for itself: a new one takes a fifth of a second."""
    context: Any = {"ignore_auth": True}
    return tk.get_action("get_site_user")(context, {})["name"]


def organization_of(*users: str) -> str:
    """Make an organization in which all of them may edit."""
    members = [{"name": user, "capacity": "editor"} for user in users]
    return factories.Organization(users=members)["id"]


def shown(dataset_id: str) -> dict[str, Any]:
    """Return a dataset as the database has it."""
    context: Any = {"ignore_auth": True, "use_cache": False}
    return tk.get_action("package_show")(context, {"id": dataset_id})
