"""The storages that CKAN's configuration names."""

from __future__ import annotations

from ckan.lib import files  # pyright: ignore[reportAttributeAccessIssue]


def is_configured(name: str) -> bool:
    """Tell whether there is a storage of that name."""
    return name in files.storages
