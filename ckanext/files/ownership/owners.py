"""Find, lock and check the new owner of a file, and the dataset that it is part of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.logic.auth import update
from sqlalchemy.orm import Session

from ckanext.files.store import Owner
from ckanext.files.store.models import array_literal

from .policy import Actor
from .values import is_uuid

IN_DATASET = ("package", "resource")
"""Types of owners that are part of a dataset."""

MODELS: dict[str, Any] = {
    "package": model.Package,
    "resource": model.Resource,
    "group": model.Group,
    "organization": model.Group,
    "user": model.User,
}
"""The models of CKAN's own types of owners; plugins may have others."""

_UPDATE = {
    "package": ("package_update", "id"),
    "resource": ("resource_update", "id"),
    "group": ("group_update", "id"),
    "organization": ("package_create", "owner_org"),
    "user": ("user_update", "id"),
}
"""The auth function for a user who edits an owner, and its argument. An organization that a
field of a dataset names is the organization of the dataset, so the user needs the right to add
a dataset to it."""


def is_owner_type(type_: str) -> bool:
    """Return whether owners of files may be of a type: one of CKAN's five, or a plugin's own.

    CKAN has auth functions for other things too, such as ``package_relationship_update``, which
    expect other arguments and end in a KeyError.
    """
    return type_ in MODELS or not hasattr(update, f"{type_}_update")


def find_owner(session: Session, owner_type: str, id_or_name: str) -> Owner | None:
    """Return an owner with its real id; None if it does not exist.

    An owner type that is not CKAN's own belongs to a plugin: any id is accepted.
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
    """Keep an owner from being purged until the transaction ends; return whether it exists.

    Owners are locked before files, as in the actions that save them. It is the lock of a
    foreign key: other transactions may still change the owner.
    """
    if owner.type not in MODELS:
        return True  # a type of a plugin
    lock = sa.text(f"SELECT id FROM {_table(owner.type)} WHERE id = :id FOR KEY SHARE")
    return session.execute(lock, {"id": owner.id}).first() is not None


def lock_for_update(session: Session, owner: Owner) -> None:
    """Let other updates of an owner of CKAN's own types wait until the transaction ends.

    What the caller reads of the owner's files stays true then. Otherwise an update of a dataset
    could remove a resource to which another update has just moved a file that the first one names.
    """
    if owner.type in MODELS:
        lock = sa.text(f"SELECT id FROM {_table(owner.type)} WHERE id = :id FOR NO KEY UPDATE")
        session.execute(lock, {"id": owner.id})


def missing(session: Session, owners: Iterable[Owner]) -> set[Owner]:
    """Return the owners of CKAN's own types that do not exist."""
    wanted = {owner for owner in owners if owner.type in MODELS}
    for type_ in {owner.type for owner in wanted}:
        ids = array_literal(owner.id for owner in wanted if owner.type == type_)
        query = sa.text(f"SELECT id FROM {_table(type_)} WHERE id = ANY(CAST(:ids AS text[]))")
        wanted -= {Owner(type_, id_) for id_ in session.execute(query, {"ids": ids}).scalars()}
    return wanted


def _table(owner_type: str) -> str:
    """Return the table of an owner for SQL text, which takes SQLAlchemy less time to execute."""
    return f'"{sa.inspect(MODELS[owner_type]).local_table.name}"'


def is_name_only(session: Session, owner: Owner) -> bool:
    """Return whether an owner does not exist, so that CKAN would take its id for a name.

    CKAN's auth functions find a dataset, group or user by its name as well, and a resource by
    its title: something else that is named like the id of a purged owner would get its rights.
    An id that is no UUID may be a name on purpose, from a field that does not go by ``id``.
    """
    model_ = MODELS.get(owner.type)
    if model_ is None or not (owner.type == "resource" or is_uuid(owner.id)):
        return False
    return session.get(model_, owner.id) is None


def is_editable(session: Session, owner: Owner, edited: str | None, actor: Actor) -> bool | None:
    """Return whether the user may edit an owner that a request names.

    For fields that do not go by ``id``: the request may name any owner, by id or by name.

    :param edited: id of what the action updates, which CKAN has checked already.
    :returns: None if there is nothing with that id or name.
    """
    if owner.type not in _UPDATE:
        return True  # a type of a plugin
    real = find_owner(session, *owner)
    if real is None or real.id == edited:
        return None if real is None else True
    auth_function, argument = _UPDATE[owner.type]
    return actor.may(auth_function, {argument: real.id})


class DatasetScope:
    """The owners within one dataset, among which files move freely.

    The resources are read when the scope is first asked about one. The validator asks before
    the action changes anything, so the scope contains those that the request removes.

    :param dataset_id: None for an empty scope.
    """

    def __init__(self, session: Session, dataset_id: str | None) -> None:
        self._session = session
        self.dataset = Owner("package", dataset_id) if dataset_id else None

    def __contains__(self, owner: object) -> bool:
        if self.dataset is None or not isinstance(owner, Owner):
            return False
        if owner.type == "resource":
            return self._resources.get(owner.id, model.State.DELETED) != model.State.DELETED
        return owner == self.dataset

    def includes_removed(self, owner: Owner) -> bool:
        """Return whether an owner is or was part of the dataset.

        A removed resource may come back with its id, to its files.
        """
        return owner in self or (owner.type == "resource" and owner.id in self._resources)

    @cached_property
    def _resources(self) -> dict[str, str]:
        """The state of each resource, removed ones included."""
        if self.dataset is None:
            return {}
        columns = sa.select(model.Resource.id, model.Resource.state)
        found = columns.where(model.Resource.package_id == self.dataset.id)
        return {row.id: row.state for row in self._session.execute(found)}


def scope_of(session: Session, owner: Owner) -> DatasetScope:
    """Return the scope of the dataset that an owner is part of; an empty one if there is none."""
    if owner.type == "resource":
        resource = session.get(model.Resource, owner.id)
        return DatasetScope(session, resource.package_id if resource else None)
    return DatasetScope(session, owner.id if owner.type == "package" else None)
