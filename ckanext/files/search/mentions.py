"""The fields that name a file: what breaks when it is deleted or moves away.

Reads rows and not actions, so that no plugin can hide a field, in the columns that CKAN has; leaves
out what was deleted. A caller shows only what the visitor may see.

``ckanext.files.maintenance.mentions`` asks another question, about many files at once: whether any
row of any table names them. It finds no fields.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.store import Owner
from ckanext.files.store.models import array_literal

_MOST = 1000
"""The most rows of one kind that a search for fields reads."""

_MODELS: dict[str, Any] = {
    "package": model.Package,
    "resource": model.Resource,
    "group": model.Group,
    "user": model.User,
}
_IDS = "row.id = ANY(CAST(:ids AS text[]))"
_WITHOUT_IDS = (sa.DateTime, sa.Boolean, sa.Integer, sa.Float)
"""Types of columns that name no file. PostgreSQL writes a time as slowly as all other columns."""

# CKAN 2.11 has extras in a table of their own, CKAN 2.12 in a column
_EXTRAS = """
    || (
        SELECT jsonb_build_object('extras', jsonb_object_agg(key, value))
        FROM {kind}_extra WHERE {kind}_id = row.id AND state = 'active'
    )
"""
_EXTRA_NAMES = """
    OR row.id IN (
        SELECT {kind}_id FROM {kind}_extra WHERE state = 'active' AND value LIKE :pattern
    )
"""


class Mention(NamedTuple):
    """Something that names a file in its fields."""

    owner: Owner
    """What has the fields."""

    fields: list[str]
    """Their names; of a repeating subfield ``GROUP/NAME``."""


def fields_of_owners(session: Session, owned: Mapping[str, Owner]) -> dict[str, list[str]]:
    """Return the fields in which owners name their files, by the ids of the files.

    One statement for each type of owner.
    """
    rows: dict[Owner, dict[str, Any]] = {}
    for kind in _MODELS:
        ids = {owner.id for owner in owned.values() if _kind(owner.type) == kind}
        if ids:
            found = session.execute(_statement(kind, by_id=True), {"ids": array_literal(ids)})
            rows.update({Owner(kind, id_): row for id_, row in found})
    return {
        file_id: _fields(rows.get(Owner(_kind(owner.type), owner.id), {}), file_id)
        for file_id, owner in owned.items()
    }


def find_mentions(session: Session, file_id: str) -> Iterator[Mention]:
    """Yield the datasets, resources, groups, organizations and users that name a file.

    Looks at all of them, which takes tenths of a second for a hundred thousand datasets.
    """
    # an underscore in an id stands for any character here, and for itself in what is found
    pattern = f"%{file_id.replace('%', '')}%"
    for kind in _MODELS:
        statement = _statement(kind, by_id=False)
        for id_, row in session.execute(statement, {"pattern": pattern}):
            type_ = "organization" if row.get("is_organization") else kind
            if fields := _fields(row, file_id):
                yield Mention(Owner(type_, id_), fields)


def _kind(owner_type: str) -> str:
    return "group" if owner_type == "organization" else owner_type


@functools.cache
def _statement(kind: str, *, by_id: bool) -> Any:
    mapper: Any = sa.inspect(_MODELS[kind])
    columns = [f'"{c.name}"' for c in mapper.columns if not isinstance(c.type, _WITHOUT_IDS)]
    names = f"concat_ws(' ', {', '.join(columns)}) LIKE :pattern"
    extras = ""
    if "_extras" in mapper.relationships:
        extras = _EXTRAS.format(kind=kind)
        names += _EXTRA_NAMES.format(kind=kind)
    return sa.text(f"""
        SELECT row.id, to_jsonb(row) - 'password' - 'apikey' {extras} FROM "{kind}" AS row
        WHERE state <> 'deleted' AND ({_IDS if by_id else names})
        {"" if by_id else f"LIMIT {_MOST}"}
    """)


def _fields(row: Mapping[str, Any], file_id: str) -> list[str]:
    """Return the names of the fields of a row that contain an id."""
    values = [(name, value) for name, value in _values(row) if _has(value, file_id)]
    found = [
        field for name, value in values for field in _subfields(name, value, file_id) or [name]
    ]
    return [name for name in dict.fromkeys(found) if name != "id"]


def _has(value: Any, file_id: str) -> bool:
    return file_id in json.dumps(value)


def _subfields(name: str, value: Any, file_id: str) -> list[str]:
    """Return the repeating subfields that contain an id; none if the field has none."""
    try:
        groups = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return []
    return [
        f"{name}/{subfield}"
        for group in (groups if isinstance(groups, list) else [])
        if isinstance(group, dict)
        for subfield, each in group.items()
        if _has(each, file_id)
    ]


def _values(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    # plugin_extras stay one field: CKAN shows what is in them to sysadmins only
    for name, value in row.items():
        if name == "extras":
            yield from _loaded(value).items()
        else:
            yield name, value


def _loaded(value: Any) -> dict[str, Any]:
    # extras of resources are JSON in a text
    value = json.loads(value) if isinstance(value, str) and value else value
    return value if isinstance(value, dict) else {}
