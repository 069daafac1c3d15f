"""A field as the database stores it: of datasets, resources, groups, organizations or users.

This module reads the database and not through actions: it reads a hundred
thousand datasets in seconds, and no plugin can change the ids. It leaves out
deleted entities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session, selectinload

from ckanext.files.ownership import NoFileIdsError, file_ids, values_at
from ckanext.files.store import Owner

OWNER_TYPES = ("package", "resource", "group", "organization", "user")
"""Types of entities that a validator can make the owner of files."""

_PAGE_SIZE = 100
"""Entities that one transaction locks; a request that changes one waits less than a second."""

_RESOURCES = "resources"


class Mention(NamedTuple):
    """One file that one field names."""

    file_id: str

    is_id: bool
    """Whether this has the form of an id; otherwise it is the start of another text."""

    owner: Owner
    """The owner that the file is to get."""

    dataset_id: str | None
    """The dataset that the owner is, or is part of."""

    where: str
    """The entity that names the file, for people."""


class Page(NamedTuple):
    """The files that some entities name."""

    mentions: list[Mention]

    size: int
    """The number of entities; 0 at the end."""

    last: str
    """Where the next page begins."""


class StoredField:
    """A field, as a schema names it.

    :param owner_type: type of the owner that the files are to get.
    :param path: name of the field, with dots for subfields: ``parts.doc``. A field
        of resources may begin with ``resources.``, and must do so if the dataset is
        to become the owner. A field of users is in ``plugin_extras``:
        ``my_plugin.portrait``.
    :param of_type: only datasets, groups or organizations of this type.
    """

    def __init__(self, owner_type: str, path: str, of_type: str | None = None) -> None:
        names = path.split(".")
        self._owner_type = owner_type
        self._kind = owner_type
        if owner_type in ("package", "resource") and names[0] == _RESOURCES and len(names) > 1:
            self._kind = "resource"
            names = names[1:]
        self._names = tuple(names)
        self._of_type = of_type
        self._model: Any = {
            "package": model.Package,
            "resource": model.Resource,
            "user": model.User,
        }.get(self._kind, model.Group)
        column = sa.inspect(self._model).columns.get(names[0])
        self._is_column = (
            self._kind != "user" and column is not None and isinstance(column.type, sa.String)
        )

    def count(self, session: Session) -> int:
        """Return the number of entities."""
        return session.execute(self._live(sa.select(sa.func.count(self._model.id)))).scalar_one()

    def page(self, session: Session, after: str, *, lock: bool) -> Page:
        """Read the entities that follow an id.

        :param lock: keep other transactions from changing them before this one ends.
        """
        rows = list(session.execute(self._statement(after, lock=lock)))
        mentions = [mention for row in rows for mention in self._mentions(*row)]
        return Page(mentions, len(rows), rows[-1][0].id if rows else after)

    def _statement(self, after: str, *, lock: bool) -> Any:
        columns = [self._model]
        if self._kind == "resource":
            columns.append(model.Package.name)
        statement = self._live(sa.select(*columns)).where(self._model.id > after)
        statement = statement.order_by(self._model.id).limit(_PAGE_SIZE)
        relations = sa.inspect(self._model).relationships
        if "_extras" in relations:
            # extras of CKAN 2.11 have their own table, which has deleted ones in old portals
            extra = relations["_extras"].mapper.class_
            active = self._model._extras.and_(extra.state == model.State.ACTIVE)  # noqa: SLF001
            statement = statement.options(selectinload(active))
        return statement.with_for_update(read=True, of=self._model) if lock else statement

    def _live(self, statement: Any) -> Any:
        typed = self._model
        statement = statement.where(self._model.state != model.State.DELETED)
        if self._kind == "resource":
            typed = model.Package
            statement = statement.join(
                model.Package, model.Package.id == model.Resource.package_id
            ).where(model.Package.state != model.State.DELETED)
        if self._model is model.Group:
            is_organization = self._kind == "organization"
            statement = statement.where(model.Group.is_organization == is_organization)
        if self._of_type:
            statement = statement.where(typed.type == self._of_type)
        return statement

    def _mentions(self, entity: Any, dataset: str = "") -> Iterator[Mention]:
        owner, dataset_id, where = Owner(self._owner_type, entity.id), None, ""
        for value in values_at(self._stored(entity), self._names):
            if not where:
                where = f"{self._owner_type} {getattr(entity, 'name', '')}"
                if self._kind == "package":
                    dataset_id, where = entity.id, f"dataset {entity.name}"
                elif self._kind == "resource":
                    dataset_id, where = (
                        entity.package_id,
                        f"dataset {dataset}, resource {entity.id}",
                    )
                    if self._owner_type == "package":
                        owner = Owner("package", entity.package_id)
            try:
                for file_id in file_ids(value):
                    yield Mention(file_id, True, owner, dataset_id, where)
            except NoFileIdsError:
                yield Mention(repr(value)[:40], False, owner, dataset_id, where)

    def _stored(self, entity: Any) -> dict[str, Any]:
        if self._is_column:
            name = self._names[0]
            return {name: getattr(entity, name)}
        return dict((entity.plugin_extras if self._kind == "user" else entity.extras) or {})
