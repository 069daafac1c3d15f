"""What all storages have, under the names that CKAN 2.12 has for it."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import ckan.plugins.toolkit as tk
import file_keeper as fk
from ckan.config.declaration import Declaration, Key

from ckanext.files.filekeeper.safe import SafeReader, SafeStorage, is_supported_type


@dataclasses.dataclass()
class Settings(fk.Settings):
    """Settings of every storage."""

    supported_types: list[str] = dataclasses.field(default_factory=list)
    """Types of files that are allowed; all when it is empty."""

    max_size: int = -1
    """Of one file, in bytes; negative: no limit."""

    public: bool = False
    """Everybody may download all that is in the storage."""


class Uploader(fk.Uploader):
    """Writes files."""


class Reader(SafeReader, fk.Reader):
    """Reads files."""


class Manager(fk.Manager):
    """Looks after files."""


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
            "Size of the largest file that is accepted, such as 42B, 2M, 24KiB, 1GB."
            " A negative number is no limit."
        ).set_example("10MB")
        declaration.declare_list(key.supported_types, None).set_description(
            "MIME types that are accepted, with spaces between them; all when it is empty."
        ).set_example("text/csv application/pdf image/jpeg")
        declaration.declare_bool(key.public).set_description(
            "Everybody may download all that is in the storage, also what has no row, by"
            " `/file/public-download/STORAGE/LOCATION`."
        )
        declaration.declare_bool(key.overwrite_existing, True).set_description(
            "Replace a file that is there already. Some adapters ignore it."
        )
        declaration.declare_bool(key.initialize).set_description(
            "Make the folder, bucket or table when it is missing, where the adapter can."
        )
        declaration.declare(key.path, "").set_description(
            "The folder, or what precedes the names of objects in a cloud."
        )
        declaration.declare(key.name, key[-1]).set_description("Name of the storage in messages.")
        declaration.declare(key.hashing_algorithm, "md5").set_description(
            "Algorithm of the files' hashes, such as md5, sha1, sha256. Some adapters ignore it."
        )
        declaration.declare_list(key.location_transformers, None).set_description(
            "What makes the location from the file's name, such as uuid4, uuid4_with_extension,"
            " safe_relative_path; the name itself when it is empty."
        ).set_example("uuid4")
        declaration.declare_list(key.disabled_capabilities, None).set_description(
            "What the storage may not do although it can, such as REMOVE."
        )

    def permanent_link(self, data: fk.FileData, /, **extras: Any) -> str | None:
        """Return an address that stays: that of the adapter, or of the public download."""
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
            raise fk.exc.LargeUploadError(size, limit)

    def validate_content_type(self, content_type: str) -> None:
        """Refuse a file of a type that is not allowed, with ``WrongUploadTypeError``."""
        supported = self.settings.supported_types
        if supported and not is_supported_type(content_type, supported):
            raise fk.exc.WrongUploadTypeError(content_type)
