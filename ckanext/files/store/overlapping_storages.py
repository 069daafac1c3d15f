"""Storages whose folders lie within each other.

CKAN 2.12 puts the storage of resources into a folder of the default one. What
is there has no row of the default storage, and is no stray for all that.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ckan.common import config
from file_keeper.default.adapters.fs import FsStorage

from .storages import get_storage, storages

_KINDS = ("resource", "user", "group", "admin")
_FOLDERS = ("resources", "storage", "webassets")
_IDENTITY = ("bucket", "container_name", "table_name")


def storages_of_ckan() -> set[str]:
    """Return the names of storages in which CKAN itself keeps things without rows."""
    options = [f"ckan.files.default_storages.{kind}" for kind in _KINDS]
    # CKAN 2.11 has no such options, and warns of those that nobody has declared
    return {config[option] for option in options if option in config}


class Place(NamedTuple):
    """A location as one of the storages calls it."""

    storage: str
    location: str


class OverlappingStorages:
    """Who else keeps things where a storage does.

    :param storage: name of the storage.
    """

    def __init__(self, storage: str) -> None:
        keeper = get_storage(storage)
        self._root = root_of(keeper)
        own = storages_of_ckan()
        roots = {
            name: root_of(get_storage(name))
            for name in storages
            if name != storage and _same_medium(keeper, get_storage(name))
        }
        # who has a folder in ours is alone in it; CKAN is so where its folder is ours, too
        self._others = [root for name, root in roots.items() if self._is_within(root, name in own)]
        self._above = {name: root for name, root in roots.items() if _holds(root, self._root)}
        if isinstance(keeper, FsStorage) and config.get("ckan.storage_path"):
            folders = [os.path.join(config["ckan.storage_path"], name) for name in _FOLDERS]  # noqa: PTH118
            self._others += [r for r in map(os.path.realpath, folders) if self._is_within(r, True)]

    def own(self, location: str) -> bool:
        """Tell whether a location is in no folder of somebody else."""
        path = os.path.normpath(os.path.join(self._root, location))  # noqa: PTH118
        return not any(_holds(root, path) for root in self._others)

    def places(self, location: str) -> list[Place]:
        """Return what other storages call the location, if they call it anything."""
        path = os.path.normpath(os.path.join(self._root, location))  # noqa: PTH118
        return [
            Place(name, os.path.relpath(path, root or os.curdir))
            for name, root in self._above.items()
        ]

    def _is_within(self, root: str, or_equal: bool) -> bool:
        return _holds(self._root, root) and (or_equal or root != self._root)


def root_of(keeper: Any) -> str:
    """Return the folder of a storage, or what precedes the names of its objects."""
    path = str(keeper.settings.path or "")
    if isinstance(keeper, FsStorage):
        return os.path.realpath(path)
    return os.path.normpath(path) if path else ""


def _same_medium(one: Any, other: Any) -> bool:
    """Tell whether both may keep things in the same folder or bucket."""
    if isinstance(one, FsStorage) or isinstance(other, FsStorage):
        return isinstance(one, FsStorage) and isinstance(other, FsStorage)
    return all(_agree(one.settings, other.settings, name) for name in _IDENTITY)


def _agree(one: Any, other: Any, name: str) -> bool:
    mine, theirs = getattr(one, name, None), getattr(other, name, None)
    # what is no text is an adapter's own object, and tells nothing
    return mine == theirs or not (isinstance(mine, str) or isinstance(theirs, str))


def _holds(root: str, path: str) -> bool:
    """Tell whether a path is a folder or within it."""
    return not root or path == root or path.startswith(root.rstrip(os.sep) + os.sep)
