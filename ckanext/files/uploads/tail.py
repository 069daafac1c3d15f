"""The last bytes of an upload into a bucket, until they are enough for a part.

Each request adds a row, and reads the other rows only when they are a part: it costs what it sends,
however small its body is. 2,000 requests of 1 KiB after 7 MiB write 3 MB into the tables. With one
value that each of them replaces these were 7.5 GB.

The rows are in PostgreSQL, in the transaction that counts their bytes. A file in the spool would
cost as little, and was not chosen: a portal that has only buckets needs no folder that its web
servers share, and a bucket's upload would be lost with the disk of one of them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

_table = sa.Table(
    "files_upload_tail",
    sa.MetaData(),
    sa.Column("upload_id", sa.TEXT, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True),
    sa.Column("content", sa.LargeBinary),
)
"""Made by a migration. PostgreSQL deletes the rows of an upload with the row of the upload."""


class Tail:
    """The rows of one upload, which a transaction has locked."""

    def __init__(self, upload_id: str) -> None:
        self._id = upload_id

    def read(self, connection: Any) -> bytes:
        """Return the bytes of all rows."""
        columns = _table.c
        in_order = aggregate_order_by(sa.literal_column("''::bytea"), columns.position)
        # joined by PostgreSQL: millions of rows take no more memory here than one
        joined = sa.select(sa.func.string_agg(columns.content, in_order)).where(self._is_mine)
        return bytes(connection.execute(joined).scalar_one() or b"")

    def append(self, connection: Any, position: int, content: bytes) -> None:
        """Add bytes.

        :param position: of the first one in the file.
        """
        row = {"upload_id": self._id, "position": position, "content": content}
        connection.execute(sa.insert(_table).values(row))

    def clear(self, connection: Any) -> None:
        """Remove the rows: the bucket has the bytes."""
        connection.execute(sa.delete(_table).where(self._is_mine))

    @property
    def _is_mine(self) -> Any:
        return _table.c.upload_id == self._id
