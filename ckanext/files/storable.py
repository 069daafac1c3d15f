"""What PostgreSQL can hold as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def is_storable(value: str) -> bool:
    """Tell whether a text has neither NUL nor half of a surrogate pair."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def all_storable(value: Any) -> bool:
    """Tell so of all texts in a value, in lists and dictionaries at any depth."""
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str) and not is_storable(value):
            return False
        if isinstance(value, dict):
            rest.extend(_both(value.items()))
        elif isinstance(value, (list, tuple)):
            rest.extend(value)
    return True


def _both(items: Iterable[tuple[Any, Any]]) -> Iterable[Any]:
    return (part for item in items for part in item)
