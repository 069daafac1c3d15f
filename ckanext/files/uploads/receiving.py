"""Receive the bytes of a request, and count what is stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ckan.plugins.toolkit as tk
from werkzeug.exceptions import RequestEntityTooLarge

from . import checks
from .body import Body
from .errors import InterruptedUploadError, LargeFileError
from .protocol import Checksum
from .sinks import Sink, find_storage, sink_for
from .table import UploadRow, update_upload
from .writer import Writer


class Receiver:
    """Takes the bytes of one request into an upload.

    Bytes are stored first and counted after that. Those with a checksum are counted all at once,
    when the checksum is right. The last bytes of a file are not counted here: they count when the
    file is made.

    :param checksum: of the request.
    :raises UploadBusyError: the upload has changed.
    """

    def __init__(self, upload: UploadRow, checksum: Checksum | None) -> None:
        self._writer, self._checksum = Writer(upload), checksum
        self._upload = self._writer.upload
        self._sink: Sink = sink_for(self._upload)
        self._content_type = self._upload.content_type
        self.offset = self._upload.offset
        """The position after the last byte that is stored."""

    @property
    def expires(self) -> datetime:
        """When the upload expires, if no more bytes come."""
        return self._writer.expires

    @property
    def is_stored(self) -> bool:
        """Whether all bytes are stored, so that the file can be made."""
        return self.offset == self._upload.size

    def receive(self, body: Body) -> None:
        """Store the bytes of a body.

        When the body ends too early, what has come until then counts, unless it had a checksum.

        :raises UploadRefusedError: the body is too long, another request has taken over, or the
            type of the file is wrong.
        :raises RequestEntityTooLarge: the portal has a limit for bodies.
        """
        # no name for the bytes: they are gone from memory before the next ones come
        while self._take(body.read(self._sink.room, self._sink.chunk_seconds)):
            pass
        if self._checksum is not None and body.error is None:
            self._checksum.verify()
            self._check_type()
            with self._writer.lock() as connection:
                self._count(connection)
        if isinstance(body.error, RequestEntityTooLarge):
            raise body.error
        if body.error is not None:
            raise InterruptedUploadError from body.error

    def _take(self, data: bytes) -> bool:
        """Store bytes; return whether there were any, so that more may come."""
        if not data:
            return False
        if self.offset + len(data) > self._upload.size:
            raise too_long()
        is_last = self.offset + len(data) == self._upload.size
        must_begin = self._sink.must_begin(len(data))
        if must_begin or not self._content_type:
            with self._writer.lock() as connection:
                self._prepare(connection, data, is_last, must_begin)
        with self._writer.lock() as connection:
            self._sink.store(connection, data, self._content_type)
            self.offset += len(data)
            if self._checksum is None:
                self._count(connection)
        if self._checksum is not None:
            self._checksum.digest.update(data)
        return True

    def _prepare(self, connection: Any, data: bytes, is_last: bool, must_begin: bool) -> None:
        if not self._content_type:
            self._look_at_type(self._sink.head(connection, data, checks.SAMPLE_SIZE), is_last)
        if must_begin:
            self._sink.begin(connection, self._content_type)

    def _look_at_type(self, head: bytes, is_last: bool) -> None:
        if len(head) == checks.SAMPLE_SIZE or is_last:
            self._content_type = checks.find_type(head)
            if self._checksum is None:  # else the file may have another type
                self._check_type()

    def _check_type(self) -> None:
        if self._content_type:
            checks.check_type(find_storage(self._upload.storage), self._content_type)

    def _count(self, connection: Any) -> None:
        self._sink.save(connection)
        count: dict[str, Any] = {"is_stored": True} if self.is_stored else {"offset": self.offset}
        update_upload(connection, self._upload.id, content_type=self._content_type, **count)


def too_long() -> LargeFileError:
    sentence = tk._("The request has more bytes than the rest of the file: send only these")
    return LargeFileError(sentence)
