"""The validator of parameters that are true or false."""

from __future__ import annotations

from typing import Any


def flag(value: Any) -> bool:
    """Read a boolean as ``boolean_validator`` of CKAN 2.12 does.

    That of CKAN 2.11 answers HTTP 500 to numbers and lists.
    """
    if isinstance(value, str):
        return value.lower() in ("true", "yes", "t", "y", "1")
    return isinstance(value, int) and bool(value)
