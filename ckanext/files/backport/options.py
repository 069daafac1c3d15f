"""The options ``ckan.files.storage.NAME.*`` of all storages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STORAGE_PREFIX = "ckan.files.storage."


def options_of_storages(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of each storage, by its name."""
    storages: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        if key.startswith(STORAGE_PREFIX):
            name, _, option = key.removeprefix(STORAGE_PREFIX).partition(".")
            if option:
                storages.setdefault(name, {})[option] = value
    return storages
