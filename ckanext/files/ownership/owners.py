"""Find what is to own a file."""

from __future__ import annotations

from typing import Any

from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.store import Owner


def find_owner(session: Session, owner_type: str, id_or_name: str) -> Owner | None:
    """Return an owner with its real id; None if it does not exist.

    A type that is not CKAN's own is up to the plugin that has it: whatever id
    is given counts as its id.
    """
    if owner_type == "package":
        entity: Any = model.Package.get(id_or_name)
    elif owner_type in ("group", "organization"):
        entity = model.Group.get(id_or_name)
        if entity is not None and entity.is_organization != (owner_type == "organization"):
            entity = None
    elif owner_type == "user":
        entity = model.User.get(id_or_name)
    elif owner_type == "resource":
        # not Resource.get(): names of resources are not unique
        entity = session.get(model.Resource, id_or_name)
        if entity is not None and entity.state == model.State.DELETED:
            entity = None
    else:
        return Owner(owner_type, id_or_name)
    return Owner(owner_type, entity.id) if entity is not None else None
