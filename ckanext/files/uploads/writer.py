"""The request that receives bytes of an upload.

No transaction stays open while bytes arrive. A request that receives bytes is the *writer* of its
upload: it has put its own mark into the row, and locks the row only to store a few MiB that have
arrived and to count them. A newer request puts its mark in the place of the old one. The old
request finds that out before it stores more, and stops. So two requests never write at once,
although none of them waits for the other one's client.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .errors import UploadBusyError
from .table import UPLOAD_COLUMNS, UploadRow, new_expiry, transaction, upload_table


class Writer:
    """The request that receives bytes of an upload, until another one takes over."""

    def __init__(self, upload: UploadRow) -> None:
        """Take over from any other request.

        :raises UploadBusyError: the upload has changed, or another request stores bytes.
        """
        self._id, self._mark = upload.id, uuid.uuid4().hex
        columns = upload_table.c
        take_over = (
            sa.update(upload_table)
            .where(
                columns.id == upload.id,
                columns.offset == upload.offset,
                columns.is_stored.is_(False),
            )
            .values(writer=self._mark, expires=new_expiry())
            .returning(*UPLOAD_COLUMNS)
        )
        with transaction() as connection:
            row = connection.execute(take_over).first()
        if row is None:
            raise UploadBusyError
        self.upload = UploadRow(*row)
        """As it is from now on: another request may have changed it before."""
        self.expires: datetime = self.upload.expires

    @contextmanager
    def lock(self) -> Iterator[Connection]:
        """Lock the upload while a few MiB are stored, and what the block changes is committed.

        The upload gets its whole lifetime again: none expires while its bytes arrive.

        :raises UploadBusyError: another request has taken over, or the upload was removed.
        """
        columns = upload_table.c
        mine = sa.update(upload_table).where(columns.id == self._id, columns.writer == self._mark)
        lock = mine.values(expires=new_expiry()).returning(columns.expires)
        with transaction() as connection:
            expires = connection.execute(lock).scalar()
            if expires is None:
                raise UploadBusyError
            yield connection
        self.expires = expires
