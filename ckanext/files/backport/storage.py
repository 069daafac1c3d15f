"""Storages, under the names that ``ckan.lib.files`` has in CKAN 2.12.

Left out on purpose: storages that CKAN 2.12 derives from the default one, for
resources, for images of users and groups and for the site's logo.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import ckan.plugins.toolkit as tk
import file_keeper as fk
from ckan.common import config
from ckan.config.declaration import Declaration, Key
from ckan.exceptions import CkanConfigurationException
from file_keeper import Capability, FileData, Location, Upload, exc, make_upload
from file_keeper.core.storage import location_transformers
from file_keeper.default.adapters.fs import FsStorage

from ckanext.files.filekeeper.safe import SafeReader, SafeStorage, is_supported_type

__all__ = [
    "STORAGE_PREFIX",
    "Capability",
    "FileData",
    "Location",
    "Manager",
    "Reader",
    "Settings",
    "Storage",
    "Upload",
    "Uploader",
    "exc",
    "get_storage",
    "is_supported_type",
    "make_upload",
    "storages",
]

STORAGE_PREFIX = "ckan.files.storage."

log = logging.getLogger(__name__)


@dataclasses.dataclass()
class Settings(fk.Settings):
    """Settings of every storage."""

    supported_types: list[str] = dataclasses.field(default_factory=list)
    """MIME types of files that the storage accepts; all when it is empty."""

    max_size: int = -1
    """Of one file, in bytes; negative: no limit."""

    public: bool = False
    """Any visitor may download every file in the storage."""


class Uploader(fk.Uploader):
    """Writes files."""


class Reader(SafeReader, fk.Reader):
    """Reads files."""


class Manager(fk.Manager):
    """Removes, copies and lists files."""


class Storage(SafeStorage, fk.Storage):
    """A place for files."""

    settings: Any
    SettingsFactory: ClassVar[type[fk.Settings]] = Settings
    UploaderFactory: ClassVar[type[fk.Uploader]] = Uploader
    ReaderFactory: ClassVar[type[fk.Reader]] = Reader
    ManagerFactory: ClassVar[type[fk.Manager]] = Manager

    @classmethod
    def declare_config_options(cls, declaration: Declaration, key: Key) -> None:
        """Declare the options that every storage has."""
        declaration.declare(key.max_size, -1).append_validators("parse_filesize").set_description(
            "Size of the largest file that the storage accepts, such as 42B, 2M, 24KiB, 1GB."
            " A negative number means no limit."
        ).set_example("10MB")
        declaration.declare_list(key.supported_types, None).set_description(
            "MIME types that the storage accepts, with spaces between them; all when it is empty."
        ).set_example("text/csv application/pdf image/jpeg")
        declaration.declare_bool(key.public).set_description(
            "Any visitor may download every file in the storage, also one without a row in the"
            " database, at `/file/public-download/STORAGE/LOCATION`."
        )
        declaration.declare_bool(key.overwrite_existing, True).set_description(
            "Replace a file that is there already. Some adapters ignore it."
        )
        declaration.declare_bool(key.initialize).set_description(
            "Make the folder, bucket or table when it is missing, where the adapter can."
        )
        declaration.declare(key.path, "").set_description(
            "The folder, or the prefix of the names of objects in a cloud."
        )
        declaration.declare(key.name, key[-1]).set_description("Name of the storage in messages.")
        declaration.declare(key.hashing_algorithm, "md5").set_description(
            "Algorithm of the files' hashes, such as md5, sha1, sha256. Some adapters ignore it."
        )
        declaration.declare_list(key.location_transformers, None).set_description(
            "Transformers that make the location from the file's name, such as uuid4,"
            " uuid4_with_extension, safe_relative_path; the name itself when it is empty."
        ).set_example("uuid4")
        declaration.declare_list(key.disabled_capabilities, None).set_description(
            "What the storage may not do although its adapter can, such as REMOVE."
        )

    def permanent_link(self, data: FileData, /, **extras: Any) -> str | None:
        """Return an address that does not expire: of the adapter, or of the public download."""
        if link := super().permanent_link(data, **extras):
            return link
        if not self.settings.public:
            return None
        place = {"storage_name": self.settings.name, "location": data.location}
        return tk.url_for("file.public_download", **place, _external=True)

    def validate_size(self, size: int) -> None:
        """Refuse a file that is too large, with ``LargeUploadError``."""
        limit = self.settings.max_size
        if 0 <= limit < size:
            raise exc.LargeUploadError(size, limit)

    def validate_content_type(self, content_type: str) -> None:
        """Refuse a file of a type that is not allowed, with ``WrongUploadTypeError``."""
        supported = self.settings.supported_types
        if supported and not is_supported_type(content_type, supported):
            raise exc.WrongUploadTypeError(content_type)


def get_storage(name: str | None = None) -> Any:
    """Return a storage, by default the one for files without a storage of their own.

    :raises exc.UnknownStorageError: the configuration has no storage of that name.
    """
    if name is None:
        name = str(config["ckan.files.default_storages.default"])
    storage = storages.get(name)
    if storage is None:
        raise exc.UnknownStorageError(name)
    return storage


def collect_storages() -> dict[str, fk.Storage]:
    """Make the storages of the configuration; the site does not start if one of them fails."""
    made = {name: _make(name, options) for name, options in options_of_storages(config).items()}
    found = {name: storage for name, storage in made.items() if storage is not None}
    _refuse_exposed(found)
    return found


storages: fk.Registry[fk.Storage] = fk.Registry(collector=collect_storages)


def options_of_storages(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the options of each storage, by its name; of ``a.b = c``, ``{"a": {"b": "c"}}``."""
    by_storage: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        if key.startswith(STORAGE_PREFIX):
            name, *path = key.removeprefix(STORAGE_PREFIX).split(".")
            if path:
                _put(by_storage.setdefault(name, {}), path, value)
    return by_storage


def _put(options: Any, path: list[str], value: Any) -> None:
    *branches, last = path
    for branch in branches:
        options = options.setdefault(branch, {})
        if not isinstance(options, dict):
            log.warning("Cannot build tree for %s at branch %s", path, branch)
            return
    options[last] = value


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


def _refuse_unknown(name: str, options: dict[str, Any]) -> None:
    """Refuse names that file-keeper itself would refuse only at an upload."""
    known_names: dict[str, Any] = {
        "disabled_capabilities": Capability.__members__,
        "location_transformers": location_transformers,
        "hashing_algorithm": hashlib.algorithms_available,
    }
    for option, known in known_names.items():
        value = options.get(option) or []
        values = [value] if isinstance(value, str) else value
        if unknown := [value for value in values if value not in known]:
            raise CkanConfigurationException(
                f"{STORAGE_PREFIX}{name}.{option}: there is no {', '.join(unknown)},"
                f" only {', '.join(sorted(known))}"
            )


def _refuse_exposed(made: dict[str, fk.Storage]) -> None:
    """Refuse a private folder in a public one, where any visitor could download its files."""
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
                    " public: any visitor could download the files there"
                )
