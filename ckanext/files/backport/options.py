"""The options ``ckan.files.storage.NAME.*`` of all storages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

STORAGE_PREFIX = "ckan.files.storage."

log = logging.getLogger(__name__)


def options_of_storages(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of each storage, by its name; of ``a.b = c``, ``{"a": {"b": "c"}}``."""
    storages: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        if key.startswith(STORAGE_PREFIX):
            name, *path = key.removeprefix(STORAGE_PREFIX).split(".")
            if path:
                _put(storages.setdefault(name, {}), path, value)
    return storages


def _put(options: Any, path: list[str], value: Any) -> None:
    *branches, last = path
    for branch in branches:
        options = options.setdefault(branch, {})
        if not isinstance(options, dict):
            log.warning("Cannot build tree for %s at branch %s", path, branch)
            return
    options[last] = value
