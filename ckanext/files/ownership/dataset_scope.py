"""The dataset within which files move freely."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.store import Owner

#: Types of owners that are part of a dataset.
IN_DATASET = ("package", "resource")

# as text: SQLAlchemy takes longer for an expression than PostgreSQL for the lock
_LOCK = sa.text("SELECT id FROM package WHERE id = :id FOR NO KEY UPDATE")


class DatasetScope:
    """A dataset and its resources, as far as they own files.

    The resources are those that are live when it is first asked about one, so
    a validator that has asked before a request is carried out goes on seeing
    those that the request removes.
    """

    def __init__(self, session: Session, dataset_id: str | None) -> None:
        self._session = session
        self._dataset_id = dataset_id
        self.dataset = Owner("package", dataset_id) if dataset_id else None

    def __contains__(self, owner: object) -> bool:
        if self._dataset_id is None or not isinstance(owner, Owner):
            return False
        if owner.type == "resource":
            return self._resources.get(owner.id, model.State.DELETED) != model.State.DELETED
        return owner == self.dataset

    def had(self, owner: Owner) -> bool:
        """Tell whether an owner is part of the dataset, or a resource that was removed from it.

        Such a resource may come back with its id, to its files.
        """
        return owner in self or (owner.type == "resource" and owner.id in self._resources)

    @cached_property
    def _resources(self) -> dict[str, str]:
        if self._dataset_id is None:
            return {}
        columns = sa.select(model.Resource.id, model.Resource.state)
        found = columns.where(model.Resource.package_id == self._dataset_id)
        return {row.id: row.state for row in self._session.execute(found)}


def lock_dataset(session: Session, dataset_id: str) -> None:
    """Let other updates of a dataset wait until this one is committed.

    What the validator reads of the dataset's files stays true then. Otherwise
    this update could remove a resource that another one has just given a file
    to which is named here, and was here when the validator looked.
    """
    session.execute(_LOCK, {"id": dataset_id})


def scope_of(session: Session, owner: Owner) -> DatasetScope:
    """Return the dataset that an owner is part of; an empty home if there is none."""
    if owner.type == "resource":
        resource = session.get(model.Resource, owner.id)
        return DatasetScope(session, resource.package_id if resource else None)
    return DatasetScope(session, owner.id if owner.type == "package" else None)
