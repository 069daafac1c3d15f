"""The stored fields of a dataset, group or user before a request changes them.

For the rule that what a request does not change moves nothing: see :mod:`.request_fields`.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.types import FlattenKey
from sqlalchemy.orm import Session

from ckanext.files.store import Owner

from .values import Names, field_names, is_uuid, loaded, named_texts, names_of, texts, values_at

KINDS = ("package", "group", "user")
"""Names of the tables of what may have fields that name files."""

_MODELS: dict[str, Any] = {"package": model.Package, "group": model.Group, "user": model.User}
_UUID_LENGTH = 36
_Fields = list[dict[str, Any]]

Place = tuple[str, str | None]
"""Kind and id of something that has fields."""

StoredField = tuple[Place, Names]
"""What has a field, and the names that lead to the field."""

_WITH_PARTS: tuple[Names, ...] = (("extras",), ("plugin_extras",))
"""The columns of a row whose parts have fields themselves: see :func:`_fields`."""

# CKAN 2.11 has extras in a table of their own, CKAN 2.12 in a column
_EXTRAS = """
    || (
        SELECT jsonb_build_object('extras', jsonb_object_agg(key, value))
        FROM {kind}_extra WHERE {kind}_id = row.id AND state = 'active'
    )
"""
_ROW = """
    SELECT '{kind}', row.id, to_jsonb(row) - 'password' - 'apikey' {extras}
    FROM "{kind}" AS row WHERE row.id = :id
"""
_RESOURCES = """
    UNION ALL
    SELECT 'resource', row.id, to_jsonb(row)
    FROM resource AS row WHERE row.package_id = :id AND row.state <> 'deleted'
"""


class _Texts:
    """All strings in the values of a field, by length: a count does not read all of them."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._by_length: dict[int, Counter[str]] = {}
        for text in (text for value in values for text in texts(value)):
            self._by_length.setdefault(len(text), Counter())[text] += 1

    def uuids(self) -> set[str]:
        """Return the strings that have the form of an id that CKAN has made."""
        return {text for text in self._by_length.get(_UUID_LENGTH, ()) if is_uuid(text)}

    def count(self, part: str) -> int:
        """Return how often the strings contain a part, which is mostly a whole string."""
        found = self._by_length.get(len(part), Counter())[part]
        longer = (texts for length, texts in self._by_length.items() if length > len(part))
        return found + sum(n * text.count(part) for texts in longer for text, n in texts.items())


class StoredFields:
    """The stored fields of what an action updates, read with one query when they are needed.

    :param kind: ``package`` (with its live resources), ``group`` or ``user``.
    :param id_: None on create: nothing is stored yet.
    :param sent: the ids that the request contains, such as the ids of resources.
    """

    def __init__(
        self, session: Session, kind: str, id_: str | None, sent: Container[str | None] = ()
    ) -> None:
        self._session = session
        self._kind = kind
        self._texts: dict[tuple[FlattenKey, str | None], _Texts] = {}
        self.id = id_
        self._sent = sent

    @property
    def places(self) -> set[Place]:
        """What has the fields: what the action updates, and its resources."""
        return set(self._stored)

    def uuids(self) -> dict[str, set[Place]]:
        """Return all ids in fields, also in lists, each with what has such a field."""
        found: dict[str, set[Place]] = {}
        for place, strings in self._texts_of_places.items():
            for id_ in strings.uuids():
                found.setdefault(id_, set()).add(place)
        return found

    def naming(self, file_id: str) -> set[StoredField]:
        """Return the fields whose value is this file, or a list with it."""
        return self._naming.get(file_id, set())

    def mention(self, file_id: str) -> bool:
        """Return whether the id of a file is anywhere in the fields, also in a longer text."""
        return any(texts.count(file_id) for texts in self._texts_of_places.values())

    def mentioning(self, file_id: str) -> list[Names]:
        """Return the names of the fields that have the id of a file, also in a longer text, sorted.

        The names of a field of any resource begin with ``resources``.
        """
        found = {
            ("resources", *names) if kind == "resource" else names
            for text, fields in self._naming.items()
            if file_id in text
            for (kind, _), names in fields
        }
        return sorted(found)

    def has_resource(self, id_: Any) -> bool:
        """Return whether the dataset has a live resource with this id."""
        return ("resource", id_) in self._stored

    def count(self, key: FlattenKey, file_id: str, resource_id: str | None) -> int:
        """Return how often a field names a file, in all items of repeating subfields together.

        :param key: key of the field; its numbers mean nothing.
        :param resource_id: the resource that has the field. None stands for all resources whose
            ids the request does not contain: clients may send them again without ids.
        """
        names = names_of(key)
        if (names, resource_id) not in self._texts:
            self._texts[names, resource_id] = _Texts(self._values(key, resource_id))
        return self._texts[names, resource_id].count(file_id)

    def has(self, key: FlattenKey, value: Any, resource_id: str | None) -> bool:
        """Return whether a field has this value, which may be anything."""
        stored = self._values(key, resource_id)
        return any(loaded(value) == loaded(other) for other in stored)

    def _values(self, key: FlattenKey, resource_id: str | None) -> Iterator[Any]:
        names = names_of(key)
        if key[0] != "resources":
            yield from values_at(self._stored.get((self._kind, self.id), []), names)
            return
        if resource_id is not None:
            yield from values_at(self._stored.get(("resource", resource_id), []), names[1:])
            return
        for (kind, id_), fields in self._stored.items():
            if kind == "resource" and id_ not in self._sent:
                yield from values_at(fields, names[1:])

    @functools.cached_property
    def _naming(self) -> dict[str, set[StoredField]]:
        found: dict[str, set[StoredField]] = {}
        for place, parts in self._stored.items():
            for names, text in named_texts(parts):
                if names[:1] not in _WITH_PARTS:
                    found.setdefault(text, set()).add((place, names))
        return found

    @functools.cached_property
    def _texts_of_places(self) -> dict[Place, _Texts]:
        return {place: _Texts(fields) for place, fields in self._stored.items()}

    @functools.cached_property
    def _stored(self) -> dict[Place, _Fields]:
        if self.id is None:
            return {}
        rows = self._session.execute(_statement(self._kind), {"id": self.id})
        return {(kind, id_): list(_fields(row)) for kind, id_, row in rows}


def place_of(owner: Owner) -> Place:
    """Return an owner as one of :attr:`StoredFields.places`."""
    return ("group" if owner.type == "organization" else owner.type, owner.id)


def stored_fields_of(session: Session, owner: Owner) -> StoredFields:
    """Return the fields of an owner as they are stored now; of a resource all of its dataset.

    What is no owner of CKAN's own has none.
    """
    if owner.type == "resource":
        resource = session.get(model.Resource, owner.id)
        return StoredFields(session, "package", resource.package_id if resource else None)
    kind, id_ = place_of(owner)
    return StoredFields(session, kind, id_ if kind in KINDS else None)


@functools.cache
def _statement(kind: str) -> Any:
    has_table = "_extras" in sa.inspect(_MODELS[kind]).relationships
    row = _ROW.format(kind=kind, extras=_EXTRAS.format(kind=kind) if has_table else "")
    return sa.text(row + (_RESOURCES if kind == "package" else ""))


def _fields(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a row that have fields: columns, extras, the plugin data of a user."""
    yield row
    extras = row.get("extras")
    extras = (json.loads(extras) if isinstance(extras, str) else extras) or {}
    yield extras
    # ckanext-scheming takes an extra parts-0-doc for the subfield doc of the field parts
    for name, value in extras.items():
        field, *in_item = field_names(name)
        if in_item:
            yield {field: [{in_item[0]: value}]}
    yield from (row.get("plugin_extras") or {}).values()
