"""The ids of files in the value of a field.

A field has one id or several: as a list, as the JSON of a list (ckanext-scheming stores it so)
or as the ``str()`` of a list (CKAN's ``unicode_safe`` makes it).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any, TypeGuard

from ckan.plugins import toolkit as tk
from ckan.types import FlattenKey

from ckanext.files.errors import FilesError

MAX_ID_LENGTH = 100
"""In characters; the ids that CKAN makes have 36."""

# as ckanext-scheming and CKAN write the name of a field in an item of a list
_IN_ITEM = re.compile(r"(.+?)(?:-(\d{1,3})-|__(\d{1,3})__)(.+)")

_QUOTED = re.compile(r"'([^'\\]*)'")

Names = tuple[str, ...]
"""Names that lead to a field, through lists of dictionaries: the key of a field without numbers."""


class NoFileIdsError(FilesError):
    """A value is neither the id of a file nor a list of such ids."""


def file_ids(value: Any) -> list[str]:
    """Return the ids in the value of a field; an empty list if the value is empty.

    PostgreSQL accepts each of them as a text.

    :raises NoFileIdsError: the value is something else.
    """
    if value is None or value is tk.missing:
        return []
    if isinstance(value, str):
        value = _load_list(value) if value.startswith("[") else [value]
    if not isinstance(value, (list, tuple)):
        raise NoFileIdsError
    ids = [item for item in value if item is not None and item != ""]
    if not all(map(is_id, ids)):
        raise NoFileIdsError
    return ids


def is_list_of_nothing(value: Any) -> bool:
    """Return whether a value is a list, also as JSON, with empty items only."""
    value = loaded(value)
    return isinstance(value, list) and bool(value) and all(i is None or i == "" for i in value)


def loaded(value: Any) -> Any:
    """Return a list from its JSON or ``str()``, and any other value as it is."""
    if isinstance(value, str) and value.startswith("["):
        return _load_list(value) or value
    return value


def is_id(value: Any) -> TypeGuard[str]:
    """Return whether a value may be an id: PostgreSQL accepts it, and it is not too long.

    PostgreSQL accepts neither NUL nor half a surrogate pair.
    """
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isprintable()


def is_uuid(text: str) -> bool:
    """Return whether a text has the form of an id that CKAN has made."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def texts(value: Any) -> Iterator[str]:
    """Yield all strings in a stored value in their order, in lists and JSON at any depth."""
    rest = [value]
    while rest:
        value = rest.pop()
        value = loaded(value)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            rest.extend(reversed(value.values()))
        elif isinstance(value, (list, tuple)):
            rest.extend(reversed(value))


def field_key(name: str) -> FlattenKey:
    """Return the key of a field in the data of its form, by the name of its input."""
    found = _IN_ITEM.fullmatch(name)
    return (found[1], int(found[2] or found[3]), found[4]) if found else (name,)


def names_of(key: FlattenKey) -> Names:
    """Return the names in the key of a field, in which names and numbers take turns."""
    return key[::2]


def field_names(name: str) -> Names:
    """Return the names that lead to a field, by the name of its input."""
    return names_of(field_key(name))


def named_texts(fields: Any) -> Iterator[tuple[Names, str]]:
    """Yield all strings in stored fields, each with the names that lead to it."""
    rest: list[tuple[Names, Any]] = [((), fields)]
    while rest:
        names, value = rest.pop()
        value = loaded(value)
        if isinstance(value, str):
            yield names, value
        elif isinstance(value, dict):
            rest.extend(((*names, *field_names(name)), inner) for name, inner in value.items())
        elif isinstance(value, (list, tuple)):
            rest.extend((names, item) for item in value)


def values_at(value: Any, names: Names) -> Iterator[Any]:
    """Yield the values of a field. Its names lead through lists of dicts, also as JSON."""
    if not names:
        yield value
        return
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return
    if isinstance(value, list):
        for item in value:
            yield from values_at(item, names)
    elif isinstance(value, dict) and names[0] in value:
        yield from values_at(value[names[0]], names[1:])


def _load_list(value: str) -> list[Any] | None:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        quoted = _QUOTED.findall(value)
        return quoted if str(quoted) == value else None
