"""The storages that the configuration names, under the names that CKAN 2.12 has.

Left out on purpose: storages that CKAN 2.12 derives from the default one, for
resources, for images of users and groups and for the site's logo.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import Any

import file_keeper as fk
from ckan.common import config
from ckan.exceptions import CkanConfigurationException
from file_keeper import Capability, FileData, Location, Upload, exc, make_upload
from file_keeper.core.storage import location_transformers
from file_keeper.default.adapters.fs import FsStorage

from .options import STORAGE_PREFIX, options_of_storages
from .storage import Storage

__all__ = [
    "STORAGE_PREFIX",
    "Capability",
    "FileData",
    "Location",
    "Upload",
    "exc",
    "get_storage",
    "make_upload",
    "storages",
]

log = logging.getLogger(__name__)


def get_storage(name: str | None = None) -> Any:
    """Return a storage, by default the one for files without a storage of their own.

    :raises exc.UnknownStorageError: there is none of that name.
    """
    if name is None:
        name = str(config["ckan.files.default_storages.default"])
    storage = storages.get(name)
    if storage is None:
        raise exc.UnknownStorageError(name)
    return storage


def _collect() -> dict[str, fk.Storage]:
    """Make the storages; what cannot be made stops the start of the site."""
    made = {name: _make(name, options) for name, options in options_of_storages(config).items()}
    found = {name: storage for name, storage in made.items() if storage is not None}
    _refuse_exposed(found)
    return found


def _make(name: str, options: dict[str, Any]) -> fk.Storage | None:
    _refuse_unknown(name, options)
    try:
        return fk.make_storage(name, options)
    except exc.UnknownAdapterError:
        log.warning(
            "Storage '%s' uses unknown adapter '%s' and cannot be initialized.",
            name,
            options.get("type"),
        )
        return None
    except exc.InvalidStorageConfigurationError as error:
        raise CkanConfigurationException(f"{STORAGE_PREFIX}{name}: {error}") from error


def _refuse_exposed(made: dict[str, fk.Storage]) -> None:
    """Refuse a folder within that of a public storage, where everybody could download its files."""
    folders = {
        name: (os.path.join(storage.settings.path, ""), storage.settings.public)  # noqa: PTH118
        for name, storage in made.items()
        if isinstance(storage, Storage) and isinstance(storage, FsStorage)
    }
    for name, (inner, is_public) in folders.items():
        for around, (outer, shows_all) in folders.items():
            if shows_all and not is_public and inner.startswith(outer):
                raise CkanConfigurationException(
                    f"{STORAGE_PREFIX}{name}.path lies in {STORAGE_PREFIX}{around}.path, which is"
                    " public: everybody could download what is there"
                )


def _refuse_unknown(name: str, options: dict[str, Any]) -> None:
    """Refuse names that file-keeper would only stumble over at an upload."""
    algorithm = options.get("hashing_algorithm")
    used: dict[str, tuple[list[str], Any]] = {
        "disabled_capabilities": (
            options.get("disabled_capabilities") or [],
            Capability.__members__,
        ),
        "location_transformers": (
            options.get("location_transformers") or [],
            location_transformers,
        ),
        "hashing_algorithm": ([algorithm] if algorithm else [], hashlib.algorithms_available),
    }
    for option, (values, known) in used.items():
        if unknown := [value for value in values if value not in known]:
            raise CkanConfigurationException(
                f"{STORAGE_PREFIX}{name}.{option}: there is no {', '.join(unknown)},"
                f" only {', '.join(sorted(known))}"
            )


storages: fk.Registry[fk.Storage] = fk.Registry(collector=_collect)
