"""Files on local disk."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import file_keeper as fk
import flask
from ckan.config.declaration import Declaration, Key


class LocalUploader:
    """Writes a file under another name and renames it when it is complete.

    An upload that fails leaves nothing. A process that is killed leaves a file
    ``*.part``, which a scan of the storage finds.
    """

    storage: Any

    def upload(
        self, location: fk.Location, upload: fk.Upload, extras: dict[str, Any]
    ) -> fk.FileData:
        """Store an upload."""
        place = Path(self.storage.full_path(location))
        # an upload never replaces a folder
        if place.exists() and (place.is_dir() or not self.storage.settings.overwrite_existing):
            raise fk.exc.ExistingFileError(self.storage, location)
        part = fk.Location(str(Path(location).with_name(f"{uuid.uuid4().hex}.part")))
        path_of_part = Path(self.storage.full_path(part))
        base: Any = super()
        try:
            data = base.upload(part, upload, extras)
            path_of_part.replace(place)
        except BaseException:
            with contextlib.suppress(OSError):  # a folder may have become read-only
                path_of_part.unlink()
            raise
        return fk.FileData.from_object(data, location=location)


class LocalReader:
    """Lets Flask or the web server send the file, with support for ranges and conditions."""

    storage: Any

    def response(self, data: fk.FileData, extras: dict[str, Any]) -> flask.Response:
        """Return a response with the content of the file."""
        if not self.storage.supports(fk.Capability.STREAM):
            raise fk.exc.UnsupportedOperationError("stream", self.storage)
        path = Path(self.storage.full_path(data.location))
        if not path.is_file():
            raise fk.exc.MissingFileError(self.storage, data.location)
        # SafeStorage writes the header with the name later: here it may have any character
        return flask.send_file(path, mimetype=data.content_type or None, download_name="file")


class LocalManager:
    """Lists files, also the ones whose names begin with a dot.

    CKAN reduces a name to ``.csv`` when it keeps none of its letters.
    """

    storage: Any

    def scan(self, extras: dict[str, Any]) -> Iterator[str]:
        """Yield the locations of all files."""
        return scan_folder(self.storage)


def scan_folder(storage: Any) -> Iterator[str]:
    """Yield the locations in any storage on local disk.

    file-keeper's own scan omits names that begin with a dot.
    """
    root = storage.settings.path
    for folder, _, names in os.walk(root, followlinks=storage.settings.follow_symlinks):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - a Path costs more than the rest
            location = os.path.relpath(path, root)
            if _is_file_of(storage, path, location):
                yield location


def _is_file_of(storage: Any, path: str, location: str) -> bool:
    try:
        storage.full_path(fk.Location(location))
    except fk.exc.LocationError:
        return False  # a symbolic link
    return os.path.isfile(path)  # noqa: PTH113


class LocalStorage:
    """Storage in a folder."""

    @classmethod
    def configure(cls, settings: Mapping[str, Any] | fk.Settings) -> fk.Settings:
        """Make the settings; the path of the folder may contain symbolic links."""
        base: Any = super()
        # file-keeper compares the path of each file with its real path
        if isinstance(settings, Mapping) and settings.get("path"):
            settings = {**settings, "path": os.path.realpath(settings["path"])}
        return base.configure(settings)

    @classmethod
    def declare_config_options(cls, declaration: Declaration, key: Key) -> None:
        """Declare the options; the path of the folder is required."""
        base: Any = super()
        base.declare_config_options(declaration, key)
        folder = declaration[key.path].required().append_validators('starts_with("/")')
        folder.set_description("Absolute path of the folder that holds the files.")
