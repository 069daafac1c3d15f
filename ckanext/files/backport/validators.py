"""The validators that CKAN 2.12 has for files.

The plugin registers the validators of options. The schema of ``file_create`` uses
``into_upload`` directly.
"""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import file_keeper as fk
from ckan.types import Validator

__all__ = ["cascade_storage_access", "parse_filesize", "starts_with"]


def into_upload(value: Any) -> Any:
    """Make an upload from bytes, an open file or what a form has sent."""
    try:
        return fk.make_upload(value)
    except TypeError as error:
        raise tk.Invalid(f"Unsupported source type: {error}") from error
    except ValueError as error:
        raise tk.Invalid(f"Wrong file: {error}") from error


def parse_filesize(value: Any) -> Any:
    """Read a size such as ``10MB`` or ``1.5 KiB``, in bytes."""
    if not isinstance(value, str):
        return value
    # a negative size means no limit; file-keeper cannot read it
    if value.strip().removeprefix("-").isdigit():
        return int(value)
    try:
        return fk.parse_filesize(value)
    except ValueError as error:
        raise tk.Invalid(f"Wrong filesize string: {value}") from error


def starts_with(*prefixes: str) -> Validator:
    """Return a validator that refuses text without one of these prefixes."""

    def validator(value: Any) -> Any:
        if isinstance(value, str) and not value.startswith(prefixes):
            raise tk.Invalid(tk._("Must start with {}").format(", ".join(prefixes)))
        return value

    return validator


def cascade_storage_access(value: Any) -> dict[str, set[str]]:
    """Read the types of owners that give access to their files.

    ``package resource:a resource:b`` becomes ``{"package": set(), "resource": {"a", "b"}}``:
    all files of a dataset, and the files of a resource in storage a or b. ``package:`` gives access
    to no file: it names the storage ``""``, which does not exist.
    """
    if isinstance(value, dict):
        return value
    rules: dict[str, set[str]] = {}
    for rule in value.split() if isinstance(value, str) else value or []:
        owner_type, *storages = rule.split(":", 1)
        rules.setdefault(owner_type, set()).update(storages)
    if rules.get("user") == set():
        raise tk.Invalid(
            "Access to files by way of the user who owns them needs a storage:"
            " user:STORAGE instead of user"
        )
    return rules
