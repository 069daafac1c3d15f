"""Bytes of uploads in an S3 bucket, as the parts of one object.

A part has 8 MiB at least, because S3 takes few parts, none of less than 5 MiB but the last. What is
too little for a part waits in PostgreSQL: any web server of the portal can go on with it. No byte
is on a disk that web servers would have to share.

Other storages of file-keeper have capabilities of this kind, too. They use the spool: nothing here
can be shown to work with them in the tests (Azure, Google), or it would not last (Redis).
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import file_keeper as fk

from ckanext.files.errors import FilesError
from ckanext.files.filekeeper.prepared import BytesElsewhere, PreparedUpload
from ckanext.files.filekeeper.safe import SafeStorage

from . import table
from .errors import BytesLostError, StorageFailsError
from .tail import Tail

_MIB = 1024 * 1024
_SMALLEST = 8 * _MIB
_MOST_PARTS = 10_000

MOST_BYTES = 64 * _MIB * _MOST_PARTS
"""The size of the largest file. A part comes from the memory of a web server, and until it is
complete from PostgreSQL: parts of any size would let one user fill both."""

_UPLOAD_ID_KEY = "files-upload"
"""In the metadata of an object: the id of the upload that it was. Other uploads, forms and programs
may store an object of the same size at the same location."""

log = logging.getLogger(__name__)


def takes_parts(storage: Any) -> bool:
    """Return whether a storage is a bucket that takes the parts of a file."""
    client = getattr(storage.settings, "client", None)
    can = storage.supports(fk.Capability.MULTIPART) and hasattr(client, "upload_part")
    return can and isinstance(storage, SafeStorage)


def part_size(size: int) -> int:
    """Return the size of the parts of a file: 8 MiB for files of up to 78 GiB."""
    return max(_SMALLEST, math.ceil(size / _MOST_PARTS / _MIB) * _MIB)


class Multipart:
    """The bytes of one upload in a bucket. Of those that have come, in their order::

        |-- part --|-- part --|-- waiting --|-- new --|...room...|
         in the bucket: stored  in the tail   in memory

    A request brings ``new`` ones. Together with those that wait they are the next part as soon as
    there is no more room, or the file ends. At the end of the request they are added to the tail if
    they are too few. The bucket knows the parts by their numbers, and the row of the upload by what
    the bucket has answered, their ``etags``.
    """

    chunk_seconds = math.inf
    """Less than a part is only stored at the end of a request."""

    def __init__(self, storage: Any, upload: table.UploadRow) -> None:
        self._storage, self._upload = storage, upload
        self._location = fk.Location(upload.location)
        self._upload_id: str = upload.parts.get("upload_id", "")
        # JSON has only text as keys
        etags = upload.parts.get("etags", {})
        self._etags = {int(number): etag for number, etag in etags.items()}
        self._has_new_part = False
        self._tail, self._waiting = Tail(upload.id), upload.offset - self._stored
        self._new = b""

    @property
    def room(self) -> int:
        """How many bytes :meth:`store` takes at most: those that are missing in a part."""
        return part_size(self._upload.size) - self._waiting - len(self._new)

    @property
    def _stored(self) -> int:
        return len(self._etags) * part_size(self._upload.size)

    def head(self, connection: Any, more: bytes, size: int) -> bytes:
        """Return the first bytes of the file, with those that are about to be stored."""
        return (self._before(connection) + self._new + more[:size])[:size]

    def _before(self, connection: Any) -> bytes:
        return self._tail.read(connection) if self._waiting else b""

    def must_begin(self, more: int) -> bool:
        """Return whether the first part is to be stored, so that :meth:`begin` has to be called.

        Also again, as long as no part counts: bytes that were refused may have had another type,
        which the bucket has for the whole object.
        """
        return not self._etags and self._is_part(more)

    def begin(self, connection: Any, content_type: str) -> None:
        """Announce the parts to the bucket.

        It has bytes only after the commit that keeps the id, without which they could not be found.
        """
        with _errors_as_ours():
            self._abort_all(connection)
            # not by file-keeper, which gives the object no metadata
            started = self._client.create_multipart_upload(
                **self._object, ContentType=content_type, Metadata={_UPLOAD_ID_KEY: self._upload.id}
            )
            self._upload_id = started["UploadId"]
        self._save_parts(connection)

    def _is_part(self, more: int) -> bool:
        end = self._stored + self._waiting + len(self._new) + more
        return more == self.room or end == self._upload.size

    def store(self, connection: Any, data: bytes, content_type: str) -> None:
        """Store bytes in the bucket, if they are enough for a part; if not, :meth:`save` does."""
        if not self._is_part(len(data)):
            self._new += data
            return
        content = self._before(connection) + self._new + data
        with _errors_as_ours():
            try:
                self._store_part(content, content_type)
            except Exception as error:
                # other servers than Amazon's report lost parts as an error of their own
                if self._has_parts():
                    raise
                raise BytesLostError from error
        self._has_new_part, self._waiting, self._new = True, 0, b""

    def _store_part(self, content: bytes, content_type: str) -> None:
        number = len(self._etags)
        part = fk.Upload(io.BytesIO(content), "", len(content), content_type)
        stored = self._storage.multipart_update(self.data(), part, number)
        self._etags[number] = stored.storage_data["parts"][number]

    def _has_parts(self) -> bool:
        """Return whether the bucket has the parts, which are neither an object yet nor lost."""
        try:
            self._storage.multipart_refresh(self.data())
        except fk.exc.MissingFileError:
            return False
        return True

    def data(self) -> Any:
        """Return the object as file-keeper knows it until it is complete."""
        etags = dict(sorted(self._etags.items()))
        state = {"upload_id": self._upload_id, "uploaded": self._stored, "parts": etags}
        return fk.FileData(self._location, size=self._upload.size, storage_data=state)

    def save(self, connection: Any) -> None:
        """Write down the parts that are new, and the bytes that are too few for one."""
        if self._has_new_part:
            self._save_parts(connection)
            self._tail.clear(connection)
            self._has_new_part = False
        if self._new:
            self._tail.append(connection, self._stored + self._waiting, self._new)
            self._waiting, self._new = self._waiting + len(self._new), b""

    def _save_parts(self, connection: Any) -> None:
        parts = {"upload_id": self._upload_id, "etags": self._etags}
        table.update_upload(connection, self._upload.id, parts=parts)

    @contextmanager
    def as_upload(self) -> Iterator[fk.Upload]:
        """Return the complete file within a block."""
        stream: Any = BytesElsewhere()
        row = self._upload
        details = (row.name, row.size, row.content_type)
        yield PreparedUpload(stream, *details, self._location, self._take_over)

    def _take_over(self, storage: Any, _location: Any) -> Any:
        # a plugin may have chosen another storage, which cannot have the parts
        return self.complete() if storage is self._storage else None

    def complete(self) -> Any:
        """Make one object of the parts, or find the one that an earlier attempt has made.

        :raises BytesLostError: the parts are lost, or another upload has replaced that object.
        """
        data = self.data()
        data.storage_data["uploaded"] = self._upload.size
        with _errors_as_ours():
            if not self._has_parts():
                if self.owns_file_at_location():
                    return self._storage.analyze(self._location)
                raise BytesLostError
            if not self._storage.settings.overwrite_existing and self._storage.exists(data):
                raise fk.exc.ExistingFileError(self._storage, self._location)
            return self._storage.multipart_complete(data)

    def owns_file_at_location(self) -> bool:
        """Return whether the object there is the one that the parts have become."""
        with _errors_as_ours():
            try:
                found = self._client.head_object(**self._object)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] == "404":
                    return False
                raise
        return found["Metadata"].get(_UPLOAD_ID_KEY) == self._upload.id

    def remove(self, connection: Any) -> None:
        """Remove the parts, if they are no object yet."""
        if self._location:
            with _errors_as_ours():
                self._abort_all(connection)

    def _abort_all(self, connection: Any) -> None:
        """Remove the parts, and what a killed request has announced, whose id no row has."""
        bucket, key = self._object["Bucket"], self._object["Key"]
        found = self._client.list_multipart_uploads(Bucket=bucket, Prefix=key)
        ids = {each["UploadId"] for each in found.get("Uploads", []) if each["Key"] == key}
        ids -= table.known_parts(connection, self._storage.settings.name, self._location)
        for id_ in filter(None, ids | {self._upload_id}):
            self._abort(id_)

    def _abort(self, id_: str) -> None:
        # not by file-keeper, which aborts nothing unless it finds another one first
        with suppress(BytesLostError), _errors_as_ours():
            self._client.abort_multipart_upload(**self._object, UploadId=id_)

    @property
    def _client(self) -> Any:
        return self._storage.settings.client

    @property
    def _object(self) -> dict[str, str]:
        bucket, key = self._storage.settings.bucket, self._storage.full_path(self._location)
        return {"Bucket": bucket, "Key": key}


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except (FilesError, fk.exc.StorageError):
        raise
    except Exception as error:  # of boto, which need not be installed
        if getattr(error, "response", {}).get("Error", {}).get("Code") == "NoSuchUpload":
            raise BytesLostError from error
        log.error("A storage does not take an upload: %s", error)
        raise StorageFailsError from error
