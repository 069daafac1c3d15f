"""Whether the visitor may see an owner of files."""

from __future__ import annotations

from ckanext.files.store import Owner, is_allowed


def may_see(owner: Owner) -> bool:
    """Return whether the visitor may see an owner."""
    try:
        return is_allowed(f"{owner.type}_show", {"id": owner.id})
    except ValueError:  # a type of a plugin, without such an auth function
        return False
