"""The files among which a search looks: all, the files of an owner, or of a type of owner."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from ckanext.files.store import Owner
from ckanext.files.store.models import array_literal, owner_table

_MANY = 1000
"""The most owners whose ids go into a statement: then PostgreSQL knows how often they occur."""

_PARTS = {
    # also resources that were removed: their files stay with them
    "package": "SELECT 'resource' AS type, id FROM resource WHERE package_id = :id",
    "organization": """
        SELECT 'package' AS type, id FROM package WHERE owner_org = :id
        UNION ALL
        SELECT 'resource', resource.id
        FROM package JOIN resource ON resource.package_id = package.id
        WHERE owner_org = :id
    """,
}
"""The owners that are part of an owner, as SQL. The datasets of a group are not: a user who may
update the group need not be allowed to see them."""

_LISTED = {
    "package": """
        owner_type = 'package' AND owner_id = :id
        OR owner_type = 'resource' AND owner_id IN (SELECT id FROM resource WHERE package_id = :id)
    """,
    "organization": """
        owner_type = 'organization' AND owner_id = :id
        OR owner_type = 'package' AND owner_id IN (SELECT id FROM package WHERE owner_org = :id)
        OR owner_type = 'resource' AND owner_id IN (
            SELECT resource.id FROM package JOIN resource ON resource.package_id = package.id
            WHERE owner_org = :id
        )
    """,
}
"""The condition that the owner in a row is an owner, or part of it. PostgreSQL lists the owners
once, and looks for each row in that list."""

_LOOKED_UP = {
    "package": """
        CASE owner_type
            WHEN 'package' THEN owner_id = :id
            WHEN 'resource' THEN (SELECT package_id FROM resource WHERE id = owner_id) = :id
        END
    """,
    "organization": """
        CASE owner_type
            WHEN 'organization' THEN owner_id = :id
            WHEN 'package' THEN (SELECT owner_org FROM package WHERE id = owner_id) = :id
            WHEN 'resource' THEN (
                SELECT owner_org FROM resource JOIN package ON package.id = package_id
                WHERE resource.id = owner_id
            ) = :id
        END
    """,
}
"""The same condition. PostgreSQL looks up the owner of each row: fast for the first rows that
fulfil it, where many do. It takes any condition of this form for one that half of the rows fulfil,
and goes along the index of the order."""

_TYPES = {"package": ("package", "resource")}


class Scope(NamedTuple):
    """Some of the files, by their owners."""

    owner: Owner | None = None
    """With what is part of it; None for any owner, and for none."""

    types: tuple[str, ...] = ()
    """The types of owners; any if empty."""

    @property
    def has_parts(self) -> bool:
        """Whether other owners may be part of the owner."""
        return self.owner is not None and self.owner.type in _PARTS

    def conditions(self, session: Session) -> ScopeConditions:
        """Return the conditions on the owner of a file."""
        if self.owner is None:
            is_any = owner_table.c.owner_type.in_(self.types) if self.types else sa.true()
            return ScopeConditions(is_any, is_any, is_of_any=True, includes_unowned=not self.types)
        if not self.has_parts:
            is_one = _is_one_of([self.owner])
            return ScopeConditions(is_one, is_one)
        parts = self._parts(session)
        if len(parts) <= _MANY:
            is_one = _is_one_of([self.owner, *parts])
            return ScopeConditions(is_one, is_one)
        listed, looked_up = _LISTED[self.owner.type], _LOOKED_UP[self.owner.type]
        conditions = self._text(f"({listed})"), self._text(looked_up)
        return ScopeConditions(*conditions, has_many_owners=True)

    def _text(self, condition: str) -> Any:
        assert self.owner
        return sa.text(condition).bindparams(id=self.owner.id)

    def _parts(self, session: Session) -> list[Owner]:
        assert self.owner
        query = sa.text(f"{_PARTS[self.owner.type]} LIMIT {_MANY + 1}")
        return [Owner(*row) for row in session.execute(query, {"id": self.owner.id})]


class ScopeConditions(NamedTuple):
    """The same condition on a file's row of owners, in two forms."""

    to_collect: Any
    """For a statement that reads all files of the scope."""

    to_filter: Any
    """For one that reads files in some order until it has enough."""

    has_many_owners: bool = False
    """To read the ids of all owners takes as long as the rest of a page."""

    is_of_any: bool = False
    """No owner is named."""

    includes_unowned: bool = False
    """All files, also those without an owner."""


def _is_one_of(owners: list[Owner]) -> Any:
    by_type = groupby(sorted(owners), key=lambda owner: owner.type)
    return sa.or_(*(_is_of(type_, [owner.id for owner in some]) for type_, some in by_type))


def _is_of(owner_type: str, ids: list[str]) -> Any:
    array: Any = sa.cast(sa.literal(array_literal(ids), sa.TEXT), ARRAY(sa.TEXT))
    return sa.and_(owner_table.c.owner_type == owner_type, owner_table.c.owner_id == sa.any_(array))


ALL = Scope()
"""All files, also those without an owner."""


def files_of(owner: Owner) -> Scope:
    """Return the files of an owner, and of what is part of it.

    Part of a dataset are its resources, and part of an organization are its datasets and their
    resources.
    """
    return Scope(owner)


def files_of_type(owner_type: str) -> Scope:
    """Return the files of all owners of a type; resources count as datasets."""
    return Scope(types=_TYPES.get(owner_type, (owner_type,)))
