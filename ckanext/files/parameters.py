"""Read the parameters of actions: booleans, and texts that PostgreSQL can store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def as_bool(value: Any) -> bool:
    """Convert a value as ``boolean_validator`` of CKAN 2.12 does, for all actions of ours.

    An unknown value is false as in CKAN's own actions, which have some of these parameters too; and
    false is harmless: no force, no interruption. The validator of CKAN 2.11 answers HTTP 500 to
    numbers and lists.
    """
    if isinstance(value, str):
        return value.lower() in ("true", "yes", "t", "y", "1")
    return isinstance(value, int) and bool(value)


def is_storable(value: str) -> bool:
    """Return whether a text has neither NUL nor half of a surrogate pair."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def all_storable(value: Any) -> bool:
    """Return whether all texts in a value are storable, in lists and dictionaries at any depth."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str) and not is_storable(value):
            return False
        if isinstance(value, dict):
            rest.extend(_keys_and_values(value.items()))
        elif isinstance(value, (list, tuple)):
            rest.extend(value)
    return True


def _keys_and_values(items: Iterable[tuple[Any, Any]]) -> Iterable[Any]:
    return (part for item in items for part in item)
