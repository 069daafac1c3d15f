"""Checking the arguments of tasks before a task looks at a file.

People write these arguments by hand. A slip must not delete or move anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.store.storages import is_configured

from .errors import ArgumentError, StorageRefusedError


def check(**arguments: Any) -> None:
    """Check each argument by the rule for its name.

    :raises ArgumentError: an argument has a wrong type, or is out of range.
    :raises StorageRefusedError: ``storages`` has a name that is not configured and has no files.
    """
    for name, value in arguments.items():
        rule = _RULES[name]
        if not rule.holds(value):
            raise ArgumentError(f"{name} is {value!r}: give {rule.expected}")
    for storage in arguments.get("storages", ()):
        if not is_configured(storage) and not _has_files(storage):
            raise StorageRefusedError(f"There is no storage {storage}, and no file in it")


def check_known(name: str, value: Any) -> None:
    """As :func:`check`; an argument without a rule passes."""
    if name in _RULES:
        check(**{name: value})


class _Rule(NamedTuple):
    holds: Callable[[Any], bool]
    expected: str


def _number(least: int, most: int, type_: Any = (int, float), noun: str = "number") -> _Rule:
    def holds(value: Any) -> bool:
        return isinstance(value, type_) and not isinstance(value, bool) and least <= value <= most

    return _Rule(holds, f"a {noun} from {least} to {most}")


def _whole_number(least: int, most: int) -> _Rule:
    return _number(least, most, int, "whole number")


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


_TEXT = _Rule(lambda value: isinstance(value, str), "text")
_RULES = {
    "batch": _whole_number(1, 100_000),
    "days": _number(0, 36_500),
    # a shell passes "" or null for a variable that is not set
    "dry_run": _Rule(lambda value: isinstance(value, bool), "true or false"),
    "give_to": _TEXT,
    "hours": _number(0, 10_000),
    "keep_seconds": _number(0, 31_536_000),
    "source": _TEXT,
    "step_bytes": _whole_number(1, 2**50),
    "storages": _Rule(_are_names, 'a list of names, such as ["default"]'),
    "target": _TEXT,
}


def _has_files(storage: str) -> bool:
    found = sa.select(file_table.c.id).where(file_table.c.storage == storage).limit(1)
    return model.Session.execute(found).first() is not None
