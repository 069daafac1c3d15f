"""The visitor of a page: who it is, and whether it may see an owner of files."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.store import Owner, is_allowed


def visitor() -> Owner | None:
    """Return the user of the request as an owner of files."""
    user: Any = tk.current_user
    return Owner("user", user.id) if user and user.is_authenticated else None


def may_see(owner: Owner) -> bool:
    """Return whether the visitor may see an owner."""
    try:
        return is_allowed(f"{owner.type}_show", {"id": owner.id})
    except ValueError:  # a type of a plugin, without such an auth function
        return False
