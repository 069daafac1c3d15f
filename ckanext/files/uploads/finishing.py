"""Make the file of an upload whose bytes are all there.

The action ``file_create`` makes it, with all that plugins have chained to it, and in its commit the
upload becomes finished. Until that commit the bytes stay where they are: if it fails, or if the
process is killed, the client asks again and the same bytes become the file. What the storage has by
then of a file that is not committed is at the location that the row of the upload names, and is
taken for the next attempt or removed with the upload.

Storages of CKAN 2.12's own (``ckan:fs``) know no such location, and copy the bytes; so do storages
on another file system than the spool. A kill in that time leaves a stray, as the kill of any upload
does.
"""

from __future__ import annotations

import dataclasses
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import file_keeper as fk
from ckan import model
from file_keeper.default.adapters.fs import FsStorage
from sqlalchemy.exc import InvalidRequestError

from ckanext.files.filekeeper.prepared import PreparedUpload
from ckanext.files.filekeeper.safe import SafeStorage
from ckanext.files.transaction import Block

from . import checks
from .errors import BytesLostError, FileRefusedError, UploadForbiddenError, UploadGoneError
from .multipart import Multipart
from .sinks import find_storage, sink_for
from .spool import Spool
from .table import Upload, find_upload, lock_upload, transaction, update_upload


@dataclasses.dataclass
class SpooledUpload(PreparedUpload):
    """An upload from the spool, which a storage on the same file system takes without a copy."""

    spool: Spool | None = None
    hash: str = ""

    def place(self, storage: Any, location: fk.Location) -> fk.FileData | None:
        if self.spool is None or not self.hash:
            return None
        place, settings = Path(storage.full_path(location)), storage.settings
        if not self.spool.is_linked_at(place):
            # an upload never replaces a folder
            if place.exists() and (place.is_dir() or not settings.overwrite_existing):
                raise fk.exc.ExistingFileError(storage, location)
            if not self.spool.link(place):
                return None
        return fk.FileData(
            location,
            size=self.size,
            content_type=self.content_type,
            hash=self.hash,
            algorithm=settings.hashing_algorithm,
        )


@dataclasses.dataclass
class StoredUpload(PreparedUpload):
    """An upload whose parts are in the bucket."""

    parts: Multipart | None = None

    def place(self, storage: Any, location: fk.Location) -> fk.FileData | None:
        assert self.parts
        return self.parts.complete()


class _BytesElsewhere(io.RawIOBase):
    """The stream of an upload whose bytes are in the bucket already.

    Code that looks into the content of uploads must not take it for an empty file.
    """

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, _buffer: Any) -> int:
        raise io.UnsupportedOperation("The bytes of this upload are in its storage already")


def make_file(upload: Upload) -> str:
    """Make the file of an upload; return its id, also if another request has made it before.

    :raises UploadRefusedError: the file is refused, the bytes are lost, or another request makes
        the file at this moment.
    """
    try:
        return _make(upload)
    except UploadGoneError:
        # the request that has made the file has removed the spool
        with transaction() as connection:
            file_id = find_upload(connection, upload.id).file_id
        if file_id:
            return file_id
        raise


def _make(upload: Upload) -> str:
    sink = sink_for(upload)
    if upload.size == 0:
        file_id = _create(upload, _empty(upload))
    elif isinstance(sink, Multipart):
        file_id = _create(upload, _stored(upload, sink))
    else:
        assert isinstance(sink, Spool)
        file_id = _create_from_spool(upload, sink)
    return file_id


def _empty(upload: Upload) -> fk.Upload:
    return fk.Upload(io.BytesIO(), upload.name, 0, upload.content_type)


def _stored(upload: Upload, parts: Multipart) -> fk.Upload:
    stream: Any = _BytesElsewhere()
    location = fk.Location(upload.location)
    details = (upload.name, upload.size, upload.content_type)
    return StoredUpload(stream, *details, location=location, parts=parts)


def _create_from_spool(upload: Upload, spool: Spool) -> str:
    with spool.open() as file:
        if file.seek(0, io.SEEK_END) != upload.size:
            raise BytesLostError
        file.seek(0)
        content = SpooledUpload(file, upload.name, upload.size, upload.content_type)
        storage = find_storage(upload.storage)
        if isinstance(storage, SafeStorage):
            content.location = _location_of(upload, storage, content)
            if isinstance(storage, FsStorage):
                content.spool, content.hash = spool, _hash(file, storage)
        file_id = _create(upload, content)
    spool.remove()
    return file_id


def _location_of(upload: Upload, storage: Any, content: fk.Upload) -> fk.Location:
    """Return the location of the file, and keep it in the row before the file is there."""
    if not upload.location:
        location = checks.choose_location(storage, content, upload.name)
        with transaction() as connection:
            current = lock_upload(connection, upload.id)
            if current.location:
                return fk.Location(current.location)
            update_upload(connection, upload.id, location=location)
        return fk.Location(location)
    return fk.Location(upload.location)


def _hash(file: Any, storage: Any) -> str:
    """Read the whole file once, before any transaction begins."""
    file.seek(0)
    reader = fk.HashingReader(file, algorithm=storage.settings.hashing_algorithm)
    reader.exhaust()
    file.seek(0)
    return reader.get_hash()


def _create(upload: Upload, content: fk.Upload) -> str:
    data = {"name": upload.name, "storage": upload.storage, "upload": content}
    try:
        with Block(eager=True):
            current = lock_upload(model.Session, upload.id)
            if current.file_id:
                return current.file_id
            user = _user_again()
            context: Any = {"user": user.name, "auth_user_obj": user, "defer_commit": True}
            file_id = tk.get_action("file_create")(context, data)["id"]
            finished = {"offset": upload.size, "file_id": file_id, "parts": {}}
            update_upload(model.Session, upload.id, **finished, writer="")
            model.Session.commit()
    except tk.ValidationError as error:
        raise FileRefusedError(error.error_dict) from error
    except tk.NotAuthorized as error:
        raise UploadForbiddenError(str(error)) from error
    finally:
        model.Session.remove()
    return file_id


def _user_again() -> Any:
    """Return the user as the database has it now: the bytes may have taken hours.

    It is the object that CKAN asks whether the user is a sysadmin.

    :raises UploadForbiddenError: the user has been deleted meanwhile.
    """
    proxy: Any = tk.current_user
    user = proxy._get_current_object()  # noqa: SLF001 - each proxy of Flask has it
    with suppress(InvalidRequestError):  # purged
        model.Session.add(user)
        model.Session.refresh(user)
        if user.is_active:
            return user
    raise UploadForbiddenError(tk._("Your account is not active any more, ask a sysadmin"))
