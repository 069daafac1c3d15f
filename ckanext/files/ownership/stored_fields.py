"""What the fields of a dataset, group or user name before a request changes them.

A value that stays as it is moves no file: perhaps no validator has ever seen
it, and who saves something else has not asked for it.
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

from .values import loaded, texts, values_at

#: What has fields of its own, by the name of its table.
KINDS = ("package", "group", "user")

_MODELS: dict[str, Any] = {"package": model.Package, "group": model.Group, "user": model.User}
_Fields = list[dict[str, Any]]

#: What CKAN 2.11 has in a table of its own, CKAN 2.12 has in a column.
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
    """All strings that a field holds. A count in them does not read all of them."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._by_length: dict[int, Counter[str]] = {}
        for text in (text for value in values for text in texts(value)):
            self._by_length.setdefault(len(text), Counter())[text] += 1

    def count(self, part: str) -> int:
        """Return how often the strings contain a part. It may be a whole one, as ids mostly are."""
        found = self._by_length.get(len(part), Counter())[part]
        longer = (texts for length, texts in self._by_length.items() if length > len(part))
        return found + sum(n * text.count(part) for texts in longer for text, n in texts.items())


class StoredFields:
    """The stored fields of what an action updates, read with one query when they are needed.

    :param kind: ``package`` (with its live resources), ``group`` or ``user``.
    :param id_: None on create: nothing is stored yet.
    :param sent: ids of the resources that the request sends with their ids.
    """

    def __init__(
        self, session: Session, kind: str, id_: str | None, sent: Container[str | None] = ()
    ) -> None:
        self._session = session
        self._kind = kind
        self._texts: dict[tuple[FlattenKey, str | None], _Texts] = {}
        self.id = id_
        self._sent = sent

    def has_resource(self, id_: Any) -> bool:
        """Tell whether the dataset has a live resource with this id."""
        return ("resource", id_) in self._stored

    def count(self, key: FlattenKey, file_id: str, resource_id: str | None) -> int:
        """Return how often a field mentions a file, at all places that differ only in numbers.

        :param key: a place of the field; its numbers mean nothing.
        :param resource_id: the resource whose field it is. None stands for all that the
            request does not send: clients may send them again without ids.
        """
        names = key[::2]
        if (names, resource_id) not in self._texts:
            self._texts[names, resource_id] = _Texts(self._values(key, resource_id))
        return self._texts[names, resource_id].count(file_id)

    def has(self, key: FlattenKey, value: Any, resource_id: str | None) -> bool:
        """Tell whether a field has this value, whatever it is."""
        stored = self._values(key, resource_id)
        return any(loaded(value) == loaded(other) for other in stored)

    def _values(self, key: FlattenKey, resource_id: str | None) -> Iterator[Any]:
        names = key[::2]
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
    def _stored(self) -> dict[tuple[str, str | None], _Fields]:
        if self.id is None:
            return {}
        rows = self._session.execute(_statement(self._kind), {"id": self.id})
        return {(kind, id_): list(_fields(row)) for kind, id_, row in rows}


@functools.cache
def _statement(kind: str) -> Any:
    has_table = "_extras" in sa.inspect(_MODELS[kind]).relationships
    row = _ROW.format(kind=kind, extras=_EXTRAS.format(kind=kind) if has_table else "")
    return sa.text(row + (_RESOURCES if kind == "package" else ""))


def _fields(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield where a row may have a field: its columns, its extras, what plugins keep of a user."""
    yield row
    extras = row.get("extras")
    extras = (json.loads(extras) if isinstance(extras, str) else extras) or {}
    yield extras
    # ckanext-scheming takes what a form calls parts-0-doc for a part of the field parts
    for name, value in extras.items():
        field, *rest = name.split("-", 2)
        if len(rest) == 2:
            yield {field: [{rest[1]: value}]}
    yield from (row.get("plugin_extras") or {}).values()
