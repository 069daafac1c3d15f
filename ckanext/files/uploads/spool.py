"""Bytes of uploads in a folder, until a storage gets them as one file.

For all storages that do not take parts. The folder is one for all of them, and none of their own
folders: there, other programs could list or show what is not complete. On the file system of a
local storage it costs nothing: the finished file is linked into the storage.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors import BytesLostError, StorageFailsError
from .options import spool_folder

_ONLY_CKAN = 0o700

log = logging.getLogger(__name__)


class Spool:
    """The bytes of one upload in a file.

    :param id_: of the upload. It is random, and a text that can be the name of a file.
    :param offset: how many bytes count.
    """

    chunk_size = 4 * 1024 * 1024
    """Bytes that are stored, and then counted, at once."""

    chunk_seconds = 1.0
    """A client that sends few bytes in a second has them counted nevertheless."""

    def __init__(self, id_: str, offset: int) -> None:
        self._path = spool_folder() / id_
        self._position = offset

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

        :raises BytesLostError: they are lost.
        """
        with _errors_as_ours():
            return self._path.open("rb")

    def link(self, place: Path) -> bool:
        """Give the file a second name, atomically; return whether the file systems can do that."""
        new = self._path.with_name(f"{self._path.name}.link")
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
        """Return whether a file there is this one, by another name."""
        with suppress(OSError):
            return place.samefile(self._path)
        return False

    def remove(self, connection: Any = None) -> None:
        """Remove the bytes, or this name of theirs."""
        self._path.unlink(missing_ok=True)


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
    except FileNotFoundError as error:
        raise BytesLostError from error
    except OSError as error:
        log.error("The folder of uploads does not take an upload: %s", error)
        raise StorageFailsError from error
