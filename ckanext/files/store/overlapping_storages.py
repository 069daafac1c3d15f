"""Storages whose folders lie within each other.

CKAN 2.12 puts the storage of resources into a folder of the default storage. A file there has
no row of the default storage, and is no stray nevertheless. Nor is an upload that is not complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from ckan.common import config
from file_keeper.default.adapters.fs import FsStorage

from .storages import get_storage, storages

_KINDS = ("resource", "user", "group", "admin")
_FOLDERS = ("resources", "storage", "webassets")
_SPOOL = "files_uploads"
_IDENTITY = ("bucket", "container_name", "table_name")


def storages_of_ckan() -> set[str]:
    """Return the names of the storages in which CKAN itself keeps files without rows."""
    options = [f"ckan.files.default_storages.{kind}" for kind in _KINDS]
    # CKAN 2.11 has no such options, and warns of options that are not declared
    return {config[option] for option in options if option in config}


def configured_spool() -> str | None:
    """Return the folder of uploads that are not complete; None if no option names one."""
    if path := config.get("ckanext.files.uploads.path", ""):
        return path
    if path := config.get("ckan.storage_path", ""):
        return os.path.join(path, _SPOOL)  # noqa: PTH118
    return None


class StorageLocation(NamedTuple):
    """A location by its name in one of the storages."""

    storage: str
    location: str


class OverlappingStorages:
    """The other storages, and folders of CKAN and of uploads, that overlap with one storage.

    :param storage: name of the storage.
    """

    def __init__(self, storage: str) -> None:
        this = get_storage(storage)
        self._root = _root(this)
        of_ckan = storages_of_ckan()
        roots = {
            name: _root(get_storage(name))
            for name in storages
            if name != storage and _may_overlap(this, get_storage(name))
        }
        # a folder within ours holds files of that other storage only; a folder that CKAN's own
        # storage shares with ours may hold files of CKAN only
        self._others = [
            root for name, root in roots.items() if self._is_within(root, name in of_ckan)
        ]
        self._above = {name: root for name, root in roots.items() if _holds(root, self._root)}
        if isinstance(this, FsStorage):
            folders = map(os.path.realpath, _other_folders())
            self._others += [folder for folder in folders if self._is_within(folder, True)]

    def owns(self, location: str) -> bool:
        """Return whether a location lies in no folder of another storage, CKAN or uploads."""
        path = os.path.normpath(os.path.join(self._root, location))  # noqa: PTH118
        return not any(_holds(root, path) for root in self._others)

    def other_names(self, location: str) -> list[StorageLocation]:
        """Return the names that the location has in other storages."""
        path = os.path.normpath(os.path.join(self._root, location))  # noqa: PTH118
        return [
            StorageLocation(name, os.path.relpath(path, root or os.curdir))
            for name, root in self._above.items()
        ]

    def _is_within(self, root: str, or_equal: bool) -> bool:
        return _holds(self._root, root) and (or_equal or root != self._root)


def _other_folders() -> Iterator[str]:
    if path := config.get("ckan.storage_path"):
        for name in _FOLDERS:
            yield os.path.join(path, name)  # noqa: PTH118
    if spool := configured_spool():
        yield spool


def _root(storage: Any) -> str:
    """Return the folder of a storage, or the prefix of its objects' names."""
    path = str(storage.settings.path or "")
    if isinstance(storage, FsStorage):
        return os.path.realpath(path)
    return os.path.normpath(path) if path else ""


def _may_overlap(one: Any, other: Any) -> bool:
    """Return whether both may keep files in the same file system or bucket."""
    if isinstance(one, FsStorage) or isinstance(other, FsStorage):
        return isinstance(one, FsStorage) and isinstance(other, FsStorage)
    return all(_agree(one.settings, other.settings, name) for name in _IDENTITY)


def _agree(one: Any, other: Any, name: str) -> bool:
    mine, theirs = getattr(one, name, None), getattr(other, name, None)
    # an adapter's own object cannot be compared
    return mine == theirs or not (isinstance(mine, str) or isinstance(theirs, str))


def _holds(root: str, path: str) -> bool:
    """Return whether a path is the folder or within it."""
    return not root or path == root or path.startswith(root.rstrip(os.sep) + os.sep)
