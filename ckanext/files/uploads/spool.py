"""Bytes of uploads in a folder, until a storage gets them as one file.

For all storages that do not take parts. The folder is one for all of them, and none of their own
folders: there, other programs could list or show what is not complete. On the file system of a
local storage it costs nothing: the finished file is linked into the storage.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import file_keeper as fk
from file_keeper.default.adapters.fs import FsStorage

from ckanext.files.filekeeper.prepared import PreparedUpload
from ckanext.files.filekeeper.safe import SafeStorage

from .checks import choose_location
from .errors import BytesLostError, StorageFailsError
from .spool_folder import LINK, is_writable, remove_from_spool, spool_folder
from .table import UploadRow, lock_upload, transaction, update_upload

_ONLY_CKAN = 0o700

log = logging.getLogger(__name__)


class Spool:
    """The bytes of one upload in a file.

    Its name is the id of the upload: that is random, and a text that can be the name of a file.
    """

    chunk_size = 4 * 1024 * 1024
    """Bytes that are stored, and then counted, at once."""

    chunk_seconds = 1.0
    """A client that sends few bytes in a second has them counted nevertheless."""

    def __init__(self, storage: Any, upload: UploadRow) -> None:
        self._storage, self._upload = storage, upload
        self._path = spool_folder() / upload.id
        self._position = upload.offset

    @property
    def _algorithm(self) -> str:
        return self._storage.settings.hashing_algorithm

    @property
    def room(self) -> int:
        """How many bytes :meth:`store` takes at most."""
        return self.chunk_size

    def head(self, connection: Any, more: bytes, size: int) -> bytes:
        """Return the first bytes of the file, with those that are about to be stored."""
        if self._position >= size:
            with self.open() as file:
                return file.read(size)
        start = b""
        if self._position:
            with self.open() as file:
                start = file.read(self._position)
        return start + more[: size - len(start)]

    def must_begin(self, more: int) -> bool:
        return False

    def begin(self, connection: Any, content_type: str) -> None:
        """Nothing to do: the name of the file is the id of the upload."""

    def store(self, connection: Any, data: bytes, content_type: str) -> None:
        """Write bytes to the disk; when this returns, also a power failure does not lose them."""
        flags = os.O_WRONLY if self._position else os.O_WRONLY | os.O_CREAT
        with _errors_as_ours(), _opened(self._path, flags) as number:
            if os.fstat(number).st_size < self._position:
                raise FileNotFoundError(self._path)  # bytes that count are elsewhere
            _write_all(number, data, self._position)
            os.fdatasync(number)
            if not self._position:
                _sync_folder(self._path.parent)
        self._position += len(data)

    def save(self, connection: Any) -> None:
        """Nothing to do: the disk has the bytes, and the offset says how many of them count."""

    def open(self) -> BinaryIO:
        """Open the bytes for reading.

        :raises BytesLostError: the file is missing.
        :raises StorageFailsError: the folder is not mounted.
        """
        with _errors_as_ours():
            return self._path.open("rb")

    def link(self, place: Path) -> bool:
        """Give the file a second name, atomically; return whether the file systems can do that."""
        new = self._path.with_name(f"{self._path.name}{LINK}")
        place.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        try:
            os.link(self._path, new)
            new.replace(place)
        except OSError:
            return False
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(place.parent)
        return True

    def is_linked_at(self, place: Path) -> bool:
        """Return whether the file at a place is the spooled one, by another name."""
        with suppress(OSError):
            return place.samefile(self._path)
        return False

    @contextmanager
    def as_upload(self) -> Iterator[fk.Upload]:
        """Return the complete file within a block, which removes the bytes unless it fails."""
        with self.open() as file:
            if file.seek(0, io.SEEK_END) != self._upload.size:
                raise BytesLostError
            file.seek(0)
            yield self._upload_of(file)
        remove_from_spool(self._upload.id)

    def _upload_of(self, file: BinaryIO) -> fk.Upload:
        row = self._upload
        upload = PreparedUpload(file, row.name, row.size, row.content_type)
        if isinstance(self._storage, SafeStorage):
            upload.location = self._keep_location(upload)
            if isinstance(self._storage, FsStorage):
                # the whole file is read here, before any transaction begins
                upload.take_over = partial(self._link_into, _hash(file, self._algorithm))
        return upload

    def _keep_location(self, upload: fk.Upload) -> fk.Location:
        """Return the location of the file, and keep it in the row before the file is there."""
        row = self._upload
        if row.location:
            return fk.Location(row.location)
        location = choose_location(self._storage, upload, row.name)
        with transaction() as connection:
            current = lock_upload(connection, row.id)
            if current.location:
                return fk.Location(current.location)
            update_upload(connection, row.id, location=location)
        return fk.Location(location)

    def _link_into(self, hash_: str, storage: Any, location: fk.Location) -> fk.FileData | None:
        """Link the file into a storage; return None if that is elsewhere."""
        if not isinstance(storage, FsStorage):
            return None  # a plugin has chosen it
        row, place, settings = self._upload, Path(storage.full_path(location)), storage.settings
        if not self.is_linked_at(place):
            # an upload never replaces a folder
            if place.exists() and (place.is_dir() or not settings.overwrite_existing):
                raise fk.exc.ExistingFileError(storage, location)
            if not self.link(place):
                return None
        return fk.FileData(
            location,
            size=row.size,
            content_type=row.content_type,
            hash=hash_,
            algorithm=self._algorithm,
        )

    def owns_file_at_location(self) -> bool:
        """Return whether the file there is the spooled one, by another name, or its copy."""
        location = fk.Location(self._upload.location)
        if isinstance(self._storage, FsStorage):
            return self.is_linked_at(Path(self._storage.full_path(location)))
        return self._is_copied_at(location)

    def _is_copied_at(self, location: fk.Location) -> bool:
        """Return whether the storage has the same bytes there, as far as it can say."""
        if not self._storage.supports(fk.Capability.ANALYZE):
            return False
        with suppress(fk.exc.MissingFileError, BytesLostError):
            found = self._storage.analyze(location)
            if found.size == self._upload.size:
                with self.open() as file:
                    return found.hash == _hash(file, found.algorithm)
        return False

    def remove(self, connection: Any) -> None:
        """Remove the bytes, or this name of theirs.

        :raises StorageFailsError: the folder is away, and bytes with it. They would belong to no
            upload when it is back.
        """
        row = self._upload
        has_bytes = row.size and (row.offset or row.is_stored)
        if has_bytes and not is_writable(self._path.parent):
            log.error("The folder of uploads is away: %s", self._path.parent)
            raise StorageFailsError
        remove_from_spool(self._upload.id)


def _hash(file: BinaryIO, algorithm: str) -> str:
    """Read the whole file."""
    file.seek(0)
    reader = fk.HashingReader(file, algorithm=algorithm)
    reader.exhaust()
    file.seek(0)
    return reader.get_hash()


def _write_all(number: int, data: bytes, position: int) -> None:
    with memoryview(data) as rest:
        done = 0
        while done < len(rest):
            done += os.pwrite(number, rest[done:], position + done)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    if flags & os.O_CREAT:
        path.parent.mkdir(mode=_ONLY_CKAN, parents=True, exist_ok=True)
    # with the mode that a file of the storage has: it may become one
    number = os.open(path, flags, 0o666)
    try:
        yield number
    finally:
        os.close(number)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and is_writable(spool_folder()):
            raise BytesLostError from error
        log.error("The folder of uploads does not take an upload: %s", error)
        raise StorageFailsError from error
