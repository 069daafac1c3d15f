"""Values that a job can keep: JSON, and calls within it.

They are checked when a call is made, where the mistake is, and not when a
worker reads them. Tuples become lists, and objects of classes derived from
``str``, ``int`` or ``float`` become plain ones; nothing else is converted. (But
PostgreSQL keeps a number's digits and not how it was written: ``1e22`` arrives
as an integer.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .call import Call
from .errors import ArgumentError

_DEEPEST = 200
"""Levels of lists and dicts in each other."""

_DIGITS = 4300
"""Of an integer that Python reads."""

_TOO_LARGE = 10**_DIGITS

MOST_BYTES = 1_000_000
"""Of all arguments of a job together, as JSON in UTF-8."""


def as_json(value: Any, name: str, level: int = 0) -> Any:
    """Return a value as JSON has it.

    :param value: of str, int, float, bool, None, list, tuple, dict with keys of
        type str, and calls.
    :param name: what to call it in an error, such as ``argument 'when' of task report``.
    :raises ArgumentError: JSON or PostgreSQL cannot hold it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, (int, float)):
        return _number(value, name)
    if level > _DEEPEST:
        raise ArgumentError(f"The {name} is nested too deeply, or contains itself")
    if isinstance(value, Call):
        value = value.as_json()
    if isinstance(value, (list, tuple)):
        items = enumerate(value)
        return [as_json(item, f"{name}[{number}]", level + 1) for number, item in items]
    if isinstance(value, dict):
        return {
            as_key(key, f"key {key!r} of the {name}"): as_json(item, f"{name}[{key!r}]", level + 1)
            for key, item in value.items()
        }
    raise ArgumentError(
        f"The {name} is of type {type(value).__name__}, which JSON cannot hold: "
        "pass str, int, float, bool, None, lists and dicts of them, or a call of a task"
    )


def as_key(key: Any, name: str) -> str:
    """Return a key of a dict as JSON has it.

    :raises ArgumentError: it is no string, or one that PostgreSQL cannot hold.
    """
    if isinstance(key, str):
        return _text(key, name)
    raise ArgumentError(f"The {name} is no string, which keys of JSON are")


def check_size(arguments: Mapping[str, Any], task_name: str) -> None:
    """Refuse more arguments than a job can keep.

    Each step writes them, and whoever looks at jobs reads them.

    :param arguments: by name, as JSON has them.
    :raises ArgumentError: they are larger than :data:`MOST_BYTES`.
    """
    size = _size(arguments)
    if size <= MOST_BYTES:
        return
    largest = max(arguments, key=lambda name: _size(arguments[name]))
    raise ArgumentError(
        f"The arguments of task {task_name} have {size:,} bytes as JSON, a job keeps "
        f"{MOST_BYTES:,} at most: argument {largest[:40]!r} has {_size(arguments[largest]):,}. "
        "Put it where the task can read it, such as a file, and pass its id"
    )


def legible(text: str) -> str:
    """Return a text for people with what PostgreSQL cannot hold replaced."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _number(value: float, name: str) -> float:
    if isinstance(value, int):
        if abs(value) >= _TOO_LARGE:
            raise ArgumentError(f"The {name} is an integer of more than {_DIGITS} digits")
        return int(value)
    if math.isfinite(value):
        return float(value)
    raise ArgumentError(f"The {name} is {value}, which JSON cannot hold")


def _text(value: str, name: str) -> str:
    if "\0" in value:
        raise ArgumentError(f"The {name} has a NUL character, which PostgreSQL cannot hold")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"The {name} has half of a surrogate pair: no valid text") from None
    return str.__str__(value)
