"""Values that a job can keep: JSON, and calls within it.

They are checked when the caller makes a call, not when a worker reads it. Tuples
become lists, and objects of classes derived from ``str``, ``int`` or ``float``
become plain ones. Every other type is refused. (PostgreSQL keeps the digits of a
number, not its notation: ``1e22`` arrives as an integer.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .call import Call
from .errors import ArgumentError

_MAX_DEPTH = 200
"""Levels of nested lists and dicts."""

_MAX_DIGITS = 4300
"""Digits of an integer that Python reads."""

_TOO_LARGE = 10**_MAX_DIGITS

MAX_BYTES = 1_000_000
"""Bytes of all arguments of a job together, as JSON in UTF-8."""


def as_json(value: Any, name: str, level: int = 0) -> Any:
    """Return a value as JSON.

    :param value: of str, int, float, bool, None, list, tuple, dict with keys of
        type str, and calls.
    :param name: what an error calls it, such as ``argument 'when' of task report``.
    :raises ArgumentError: JSON or PostgreSQL cannot hold it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, (int, float)):
        return _number(value, name)
    if level > _MAX_DEPTH:
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
    """Return a key of a dict as JSON.

    :raises ArgumentError: it is no string, or PostgreSQL cannot hold it.
    """
    if isinstance(key, str):
        return _text(key, name)
    raise ArgumentError(f"The {name} is no string, which keys of JSON are")


def check_size(arguments: Mapping[str, Any], task_name: str) -> None:
    """Refuse arguments that are too large for a job.

    Each step writes them, and each list of jobs reads them.

    :param arguments: by name, as JSON.
    :raises ArgumentError: they are larger than :data:`MAX_BYTES`.
    """
    size = _size(arguments)
    if size <= MAX_BYTES:
        return
    largest = max(arguments, key=lambda name: _size(arguments[name]))
    raise ArgumentError(
        f"The arguments of task {task_name} have {size:,} bytes as JSON, a job keeps "
        f"{MAX_BYTES:,} at most: argument {largest[:40]!r} has {_size(arguments[largest]):,}. "
        "Put it where the task can read it, such as a file, and pass its id"
    )


def storable_text(text: str) -> str:
    """Return a text for people, with each character replaced that PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _number(value: float, name: str) -> float:
    if isinstance(value, int):
        if abs(value) >= _TOO_LARGE:
            raise ArgumentError(f"The {name} is an integer of more than {_MAX_DIGITS} digits")
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
