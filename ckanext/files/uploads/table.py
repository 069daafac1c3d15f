"""The table of uploads, and the short transactions that change it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan.model import meta
from psycopg2.errors import LockNotAvailable, UndefinedTable
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ckanext.files.advisory_locks import UPLOADED_PARTS, lock_text
from ckanext.files.parameters import is_storable

from .errors import UploadBusyError, UploadNotFoundError, UploadsNotReadyError
from .options import lifetime

LOCK_TIMEOUT = "10s"
"""How long a request waits for another one that stores a few MiB of the same upload."""

upload_table = sa.Table(
    "files_upload",
    sa.MetaData(),
    sa.Column("id", sa.TEXT, primary_key=True),
    sa.Column("user_id", sa.TEXT),
    sa.Column("storage", sa.TEXT),
    sa.Column("name", sa.TEXT),
    sa.Column("metadata", sa.TEXT),
    sa.Column("size", sa.BigInteger),
    sa.Column("offset", sa.BigInteger),
    sa.Column("is_stored", sa.Boolean),
    sa.Column("content_type", sa.TEXT),
    sa.Column("location", sa.TEXT),
    sa.Column("parts", JSONB),
    sa.Column("writer", sa.TEXT),
    sa.Column("file_id", sa.TEXT),
    sa.Column("created", sa.DateTime(timezone=True)),
    sa.Column("expires", sa.DateTime(timezone=True)),
)
"""Made by a migration. Its rows refer to users and files that may be gone."""


class UploadRow(NamedTuple):
    """An upload as its row was at one moment."""

    id: str
    """Random: who knows it, and is its user, may continue the upload."""

    user_id: str
    storage: str

    name: str
    """As the client has it: not yet what CKAN makes of the name of a file."""

    metadata: str
    """The header ``Upload-Metadata``, which the client may ask for."""

    size: int
    """Of the whole file."""

    offset: int
    """How many bytes count. Less than the size until there is a file."""

    is_stored: bool
    """All bytes are stored, and the file can be made. From then on no byte changes."""

    content_type: str
    """As found in the first bytes; empty until there are enough of them."""

    location: str
    """Where in the storage the file goes; empty until it is known."""

    parts: dict[str, Any]
    """What the storage needs to know of the parts that it has."""

    file_id: str | None
    """Of the file that the upload has become."""

    created: datetime
    expires: datetime

    @property
    def has_expired(self) -> bool:
        return self.expires <= datetime.now(self.expires.tzinfo)


UPLOAD_COLUMNS = [upload_table.c[name] for name in UploadRow._fields]


def create_upload(connection: Any, values: dict[str, Any]) -> UploadRow:
    """Make the row of a new upload."""
    row = {"id": secrets.token_urlsafe(24), **values, "expires": new_expiry()}
    insert = sa.insert(upload_table).values(row).returning(*UPLOAD_COLUMNS)
    return UploadRow(*connection.execute(insert).one())


def find_upload(connection: Any, id_: str) -> UploadRow:
    """Return an upload.

    :param connection: or the session of CKAN, if it has one: see :func:`transaction`.
    :raises UploadNotFoundError: there is none.
    """
    if not is_storable(id_):
        raise UploadNotFoundError
    with _errors_as_ours():
        row = connection.execute(sa.select(*UPLOAD_COLUMNS).where(upload_table.c.id == id_)).first()
    if row is None:
        raise UploadNotFoundError
    return UploadRow(*row)


def unfinished_uploads(session: Session, user_id: str) -> list[UploadRow]:
    """Return the uploads that a user may continue, the newest first."""
    newest_first = (upload_table.c.created.desc(), upload_table.c.id)
    statement = sa.select(*UPLOAD_COLUMNS).where(*_may_continue(user_id)).order_by(*newest_first)
    rows: Any = session.execute(statement)
    return [UploadRow(*row) for row in rows]


def count_unfinished(connection: Any, user_id: str) -> int:
    """Return how many uploads a user may continue."""
    count = sa.select(sa.func.count()).select_from(upload_table).where(*_may_continue(user_id))
    return connection.execute(count).scalar_one()


def _may_continue(user_id: str) -> tuple[Any, ...]:
    columns = upload_table.c
    is_alive = columns.expires > sa.func.now()
    return columns.user_id == user_id, columns.file_id.is_(None), is_alive


def known_parts(connection: Any, storage: str, location: str) -> set[str]:
    """Return the ids that a bucket has given to the uploads for a location.

    No transaction that gets one more, or removes one, can begin until this one ends; those that
    have begun are waited for.
    """
    columns = upload_table.c
    ids = sa.select(columns.parts["upload_id"].astext).where(
        columns.storage == storage, columns.location == location
    )
    with _errors_as_ours():
        lock_text(connection, UPLOADED_PARTS, f"{storage}/{location}")
        return set(filter(None, connection.execute(ids).scalars()))


def update_upload(connection: Any, id_: str, **values: Any) -> None:
    """Change an upload whose row is locked."""
    connection.execute(sa.update(upload_table).where(upload_table.c.id == id_).values(**values))


def lock_upload(connection: Any, id_: str) -> UploadRow:
    """Lock an upload until the transaction ends; do not wait.

    :raises UploadBusyError: another transaction has it.
    :raises UploadNotFoundError: it is gone.
    """
    statement = sa.select(*UPLOAD_COLUMNS).where(upload_table.c.id == id_)
    with _errors_as_ours():
        row = connection.execute(statement.with_for_update(nowait=True)).first()
    if row is None:
        raise UploadNotFoundError
    return UploadRow(*row)


def lock_expired(connection: Any, order: Any, others: Collection[str]) -> UploadRow | None:
    """Lock an upload that has expired, other than some, until the transaction ends."""
    columns = upload_table.c
    expired = sa.select(*UPLOAD_COLUMNS).where(columns.expires <= sa.func.now())
    one = expired.where(columns.id.not_in(others)).order_by(order).limit(1)
    row = connection.execute(one.with_for_update(skip_locked=True)).first()
    return None if row is None else UploadRow(*row)


@contextmanager
def transaction() -> Iterator[Connection]:
    """Begin a transaction of its own, beside the session of CKAN.

    A request must have given back the connection of that session, or any other one, before: with
    two for each request, as many requests as the process has connections wait for each other.
    """
    assert meta.engine, "CKAN is not set up"
    with _errors_as_ours(), meta.engine.begin() as connection:
        connection.execute(
            sa.text("SELECT set_config('lock_timeout', :timeout, true)"), {"timeout": LOCK_TIMEOUT}
        )
        yield connection


def new_expiry() -> Any:
    """Return the time at which an upload expires if no more bytes come, for a statement."""
    return sa.func.now() + sa.literal(lifetime(), sa.Interval)


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise UploadBusyError from error
        if isinstance(error.orig, UndefinedTable):
            sentence = tk._("The table {table} is missing. Run: {command}")
            command = "ckan db upgrade -p files"
            message = sentence.format(table=upload_table.name, command=command)
            raise UploadsNotReadyError(message) from error
        raise
