"""Values that a job can keep: JSON, and calls within it.

They are checked when a call is made, where the mistake is, and not when a
worker reads them. Nothing is converted silently but tuples, which become lists.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import ArgumentError


def as_json(value: Any, name: str) -> Any:
    """Return a value as JSON has it.

    :param value: of str, int, float, bool, None, list, tuple, dict with keys of
        type str, and calls.
    :param name: what to call it in an error, such as ``argument 'when' of task report``.
    :raises ArgumentError: JSON or PostgreSQL cannot hold it.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ArgumentError(f"The {name} is {value}, which JSON cannot hold")
    if isinstance(value, (list, tuple)):
        return [as_json(item, f"{name}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {_key(key, name): as_json(item, f"{name}[{key!r}]") for key, item in value.items()}
    if hasattr(value, "as_json"):
        return value.as_json()
    raise ArgumentError(
        f"The {name} is of type {type(value).__name__}, which JSON cannot hold: "
        "pass str, int, float, bool, None, lists and dicts of them, or a call of a task"
    )


def _key(key: Any, name: str) -> str:
    if isinstance(key, str):
        return _text(key, f"{name}[{key!r}]")
    raise ArgumentError(f"The {name} has the key {key!r}: in JSON keys are strings")


def _text(value: str, name: str) -> str:
    if "\0" in value:
        raise ArgumentError(f"The {name} has a NUL character, which PostgreSQL cannot hold")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"The {name} has half of a surrogate pair: no valid text") from None
    return value
