"""What the visitor may do with a file, and whose owner the visitor may see."""

from __future__ import annotations

import ckan.plugins.toolkit as tk

from ckanext.files.store import Owner


def may(auth_function: str, id_: str) -> bool:
    """Return the answer of an auth function about a file or an owner."""
    try:
        tk.check_access(auth_function, {}, {"id": id_})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return False
    return True


def may_see(owner: Owner) -> bool:
    """Return whether the visitor may see an owner."""
    try:
        return may(f"{owner.type}_show", owner.id)
    except ValueError:  # a type of a plugin, without such an auth function
        return False
