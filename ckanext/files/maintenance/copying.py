"""Copying the bytes of files into another storage.

Each copy gets an unused location, so copying never overwrites a file. The bytes
of a copy are read again before a row names them. A rollback of the transaction
removes them; a process that is killed leaves them, as bytes without a row.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import uuid
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.filekeeper.locations import LocationBusyError, lock_chosen_location
from ckanext.files.filekeeper.removal import remove_unless_committed, remove_when_committed
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Capability, FileData, Upload, exc

from .content import Progress, chunks_of, compare, digest_of
from .errors import DamagedContentError, MaintenanceError, NotAcceptedError, StorageRefusedError
from .removal import is_public, storage_for
from .selection import StoredFile

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


class Copy(NamedTuple):
    """A file, and where its copy is in the other storage."""

    file: StoredFile
    data: Any


class Copier:
    """Copies files from one storage into another.

    :raises StorageRefusedError: a storage does not exist, lacks a capability, or is public.
    """

    def __init__(self, source: str, target: str) -> None:
        if source == target:
            raise StorageRefusedError(f"{source} cannot be both source and target")
        self.source, self.target = source, target
        self._source = storage_for(source, Capability.STREAM, Capability.REMOVE)
        self._target = storage_for(target, Capability.CREATE, Capability.STREAM, Capability.REMOVE)
        for name in filter(is_public, (source, target)):
            raise StorageRefusedError(
                f"The storage {name} is public: visitors may read its files at addresses that "
                "contain storage and location, and a move would change these addresses"
            )

    def check(self, file: StoredFile) -> None:
        """Check size and type of a file by its row.

        :raises NotAcceptedError: the target does not take the file.
        """
        try:
            self._target.validate_size(file.size)
            self._target.validate_content_type(file.content_type)
        except exc.UploadError as error:
            raise NotAcceptedError(str(error)) from error

    def copy(self, session: Session, file: StoredFile, progress: Progress) -> Copy:
        """Copy a file, and verify the copy.

        :param session: the copy is removed when its transaction is rolled back.
        :param progress: called with the number of bytes of each chunk, once when the chunk is
            copied and once when the copy is read.
        :raises ContentError: the file or its copy is missing or damaged.
        :raises NotAcceptedError: the target does not take the file.
        """
        self.check(file)
        own, stored = hashlib.sha256(), digest_of(file)
        # a temporary file, because some clouds need a stream that can be read twice
        with tempfile.TemporaryFile() as content:
            with chunks_of(self._source, file.data) as chunks:
                for chunk in chunks:
                    own.update(chunk)
                    if stored:
                        stored.update(chunk)
                    content.write(chunk)
                    progress(len(chunk))
            size = content.tell()
            compare(file, size, stored)
            content.seek(0)
            upload: Any = Upload(content, file.name, size, file.content_type)
            data = self._store(session, file, upload)
        try:
            self._check_copy(data, own.digest(), progress)
        except MaintenanceError:
            self.discard(session, data)
            raise
        return Copy(file, data)

    def discard(self, session: Session, data: Any) -> None:
        """Remove the bytes of a copy that no row will name, after the commit."""
        remove_when_committed(session, file_table, self.target, self._target, data)

    def _store(self, session: Session, file: StoredFile, upload: Any) -> Any:
        name = _unique_name(file.name)
        try:
            location = lock_chosen_location(session, self.target, self._target, name, upload)
        except LocationBusyError as error:
            message = f"The location {error} is busy, run the command again"
            raise NotAcceptedError(message) from error
        location = location or self._target.prepare_location(name, upload)
        if _is_named(session, self.target, location):
            raise NotAcceptedError(f"{self.target} wants it at {location}, which is taken")
        # before the upload, which may leave the first part of the bytes
        data = FileData(location)
        remove_unless_committed(session, file_table, self.target, self._target, data)
        try:
            return self._target.upload(location, upload)
        except exc.UploadError as error:
            self.discard(session, data)
            raise NotAcceptedError(str(error)) from error

    def _check_copy(self, data: Any, fingerprint: bytes, progress: Progress) -> None:
        digest = hashlib.sha256()
        with chunks_of(self._target, data) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                progress(len(chunk))
        if digest.digest() != fingerprint:
            raise DamagedContentError(f"its copy {data.location} is not what was sent")


def _unique_name(name: str) -> str:
    suffix = _SUFFIX.search(name)
    return f"{uuid.uuid4()}{suffix[0] if suffix else ''}"


def _is_named(session: Session, storage: str, location: str) -> bool:
    columns = file_table.c
    named = sa.select(columns.id).where(columns.storage == storage, columns.location == location)
    return session.execute(named).first() is not None
