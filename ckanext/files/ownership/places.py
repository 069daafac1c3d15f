"""Where the result of an action names files.

A file's new owner is found by the file's id in the field that named it. The
position in the validated data does not tell: resources are inserted, sorted
and left out on the way from there to the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ckan.types import FlattenKey

from .values import texts


class Place(NamedTuple):
    """One field of the result."""

    key: FlattenKey
    """Names and positions that lead to it, such as ``("resources", 2, "doc")``."""

    value: Any


class Places:
    """The fields of a result that may name files.

    :param keys: places in the validated data; their numbers are of no meaning.
    """

    def __init__(self, result: Any, keys: Iterable[FlattenKey]) -> None:
        shapes = dict.fromkeys(key[::2] for key in keys)
        self._fields = {names: list(walk(result, names)) for names in shapes}
        self._naming: dict[str, list[Place]] = {}
        for place in (place for places in self._fields.values() for place in places):
            for text in set(texts(place.value)):
                self._naming.setdefault(text, []).append(place)

    def naming(self, file_id: str) -> list[Place]:
        """Return the places whose value is this file, or a list with it."""
        return self._naming.get(file_id, [])

    def mentioning(self, file_id: str, key: FlattenKey) -> list[Place]:
        """Return the places of a field with the file's id anywhere in the value.

        For fields that a plugin shows as something else, such as a link.
        """
        return [place for place in self._fields[key[::2]] if mentions(place.value, file_id)]


def mentions(value: Any, file_id: str) -> bool:
    """Tell whether the id of a file is somewhere in a value."""
    return any(file_id in text for text in texts(value))


def walk(value: Any, names: tuple[Any, ...], key: FlattenKey = ()) -> Iterator[Place]:
    """Yield the places of a field: its names lead through lists of dicts."""
    if not isinstance(value, dict) or names[0] not in value:
        return
    inner, key = value[names[0]], (*key, names[0])
    if len(names) == 1:
        yield Place(key, inner)
    elif isinstance(inner, list):
        for number, item in enumerate(inner):
            yield from walk(item, names[1:], (*key, number))


def find(value: Any, file_id: str, key: FlattenKey = ()) -> Iterator[FlattenKey]:
    """Yield the places of a result that name a file, in any field."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            for number, item in enumerate(inner):
                yield from find(item, file_id, (*key, name, number))
        elif file_id in texts(inner):
            yield (*key, name)
