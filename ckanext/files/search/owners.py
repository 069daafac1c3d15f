"""Owners by their names, with addresses, for many files at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from sqlalchemy.orm import Session
from werkzeug.routing import BuildError

from ckanext.files.store import Owner
from ckanext.files.store.models import array_literal

_WANTED = "JOIN unnest(CAST(:ids AS text[])) AS wanted (id) USING (id)"

_QUERIES = {
    "package": f"SELECT id, name, title, type, state, id FROM package {_WANTED}",
    "resource": """
        SELECT resource.id, resource.name, package.title, package.type,
            CASE package.state WHEN 'deleted' THEN 'deleted' ELSE resource.state END, package.name
        FROM resource JOIN unnest(CAST(:ids AS text[])) AS wanted (id) ON wanted.id = resource.id
            JOIN package ON package.id = resource.package_id
    """,
    "group": f'SELECT id, name, title, type, state, id FROM "group" {_WANTED}',
    "user": f"SELECT id, name, fullname, 'user', state, id FROM \"user\" {_WANTED}",
}
_QUERIES["organization"] = _QUERIES["group"]


class OwnerDescription(NamedTuple):
    """An owner as people know it."""

    type: str
    id: str

    name: str | None = None
    """Of a resource the id: its name is in the title. None if CKAN does not know the owner, such
    as one that was purged."""

    title: str | None = None
    url: str | None = None
    """The address of its page; None if it has none, or if it was deleted."""

    is_deleted: bool = False

    kind: str | None = None
    """The type of the dataset, group or organization. A resource has the type of its dataset."""


def describe_owners(session: Session, owners: Iterable[Owner]) -> dict[Owner, OwnerDescription]:
    """Return the descriptions of owners, with one statement for each type of owner.

    Checks no access: the caller lists the files of these owners.
    """
    wanted = set(owners)
    found = {owner: OwnerDescription(*owner) for owner in wanted}
    for type_ in {owner.type for owner in wanted} & _QUERIES.keys():
        ids = [owner.id for owner in wanted if owner.type == type_]
        for row in _rows(session, type_, ids):
            found[Owner(type_, row[0])] = _described(type_, *row)
    return found


def _rows(session: Session, type_: str, ids: Collection[str]) -> Iterable[Any]:
    return session.execute(sa.text(_QUERIES[type_]), {"ids": array_literal(ids)}).all()


def _described(
    owner_type: str, id_: str, name: str, title: str, kind: str, state: str, parent: str
) -> OwnerDescription:
    is_deleted = state == "deleted"
    if owner_type == "resource":
        # a resource may have no name; its dataset has one
        title = f"{title or parent} / {name or tk._('Unnamed resource')}"
        name = id_
    url = None if is_deleted else _url(owner_type, kind, name, parent)
    return OwnerDescription(owner_type, id_, name, title or name, url, is_deleted, kind)


def _url(owner_type: str, kind: str, name: str, parent: str) -> str:
    """Return the address of an owner's page.

    :param kind: type of the dataset, group or organization. Its pages may be missing, when the
        plugin that makes them is not there any more.
    """
    common = {"package": "dataset", "resource": "dataset"}.get(owner_type, owner_type)
    for blueprint in (kind, common):
        try:
            if owner_type == "resource":
                return tk.url_for(f"{blueprint}_resource.read", id=parent, resource_id=name)
            return tk.url_for(f"{blueprint}.read", id=name)
        except BuildError:
            continue
    return ""
