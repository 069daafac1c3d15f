"""Find what is to own a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.store import Owner
from ckanext.files.store.arrays import literal

from .editor import Editor
from .values import is_uuid

_TABLES: dict[str, Any] = {
    "package": model.Package,
    "resource": model.Resource,
    "group": model.Group,
    "organization": model.Group,
    "user": model.User,
}

#: What CKAN asks those who edit an owner. Whose organization a dataset is says who may add to it.
_UPDATE = {
    "package": ("package_update", "id"),
    "resource": ("resource_update", "id"),
    "group": ("group_update", "id"),
    "organization": ("package_create", "owner_org"),
    "user": ("user_update", "id"),
}


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


def lock_owner(session: Session, owner: Owner) -> bool:
    """Keep an owner from being purged until the transaction ends; tell whether it is there.

    Owners are locked before files, as the actions that save them do. The lock is that of a
    foreign key: it lets others change the owner.
    """
    table = _TABLES.get(owner.type)
    if table is None:
        return True  # up to the plugin that has it
    lock = sa.text(f"SELECT id FROM {_quoted(table)} WHERE id = :id FOR KEY SHARE")
    return session.execute(lock, {"id": owner.id}).first() is not None


def missing(session: Session, owners: Iterable[Owner]) -> set[Owner]:
    """Return the owners of CKAN's own types that are not there."""
    wanted = {owner for owner in owners if owner.type in _TABLES}
    for type_ in {owner.type for owner in wanted}:
        query = sa.text(
            f"SELECT id FROM {_quoted(_TABLES[type_])} WHERE id = ANY(CAST(:ids AS text[]))"
        )
        ids = (owner.id for owner in wanted if owner.type == type_)
        wanted -= {
            Owner(type_, id_) for id_ in session.execute(query, {"ids": literal(ids)}).scalars()
        }
    return wanted


def _quoted(table: Any) -> str:
    """Return a table for a text: an expression of SQLAlchemy takes longer than the query."""
    return f'"{sa.inspect(table).local_table.name}"'


def is_only_called(session: Session, owner: Owner) -> bool:
    """Tell whether an owner is gone, and CKAN would take what has its id as a name for it.

    CKAN's auth functions find a dataset, group or user by its name as well, and a resource by
    its title. Names that are no UUID may be those of fields that do not go by ``id``.
    """
    table = _TABLES.get(owner.type)
    if table is None or not (owner.type == "resource" or is_uuid(owner.id)):
        return False
    return session.get(table, owner.id) is None


def is_editable(session: Session, owner: Owner, edited: str | None, editor: Editor) -> bool | None:
    """Tell whether an owner that a request names is one that the request may edit.

    For fields that do not go by ``id``: a dataset may be called by the id of another one.

    :param edited: id of what the request edits.
    :returns: None if there is nothing with that id or name.
    """
    if owner.type not in _UPDATE:
        return True  # up to the plugin that has it
    real = find_owner(session, *owner)
    if real is None or real.id == edited:
        return None if real is None else True
    permission, name = _UPDATE[owner.type]
    return editor.may(permission, {name: real.id})
