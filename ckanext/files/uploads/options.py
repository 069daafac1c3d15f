"""The options of uploads."""

from __future__ import annotations

from datetime import timedelta

import ckan.plugins.toolkit as tk

_PREFIX = "ckanext.files.uploads"


def lifetime() -> timedelta:
    """Return how long an upload waits for its next bytes."""
    return timedelta(days=tk.config[f"{_PREFIX}.expire_after"])


def most_unfinished() -> int:
    """Return how many unfinished uploads one user may have."""
    return tk.config[f"{_PREFIX}.max_unfinished"]
