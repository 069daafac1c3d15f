"""What people see of files: names and sizes, for many files at once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from .identity import flush_files
from .models import file_table, owner_table
from .records import Owner


class FileDescription(NamedTuple):
    """A file as a person knows it, and what decides who may see it."""

    id: str
    name: str
    content_type: str

    size: int
    """In bytes."""

    created: datetime
    storage: str
    owner: Owner | None


_DESCRIPTIONS = sa.select(
    *(file_table.c[name] for name in FileDescription._fields if name != "owner"),
    owner_table.c.owner_type,
    owner_table.c.owner_id,
).select_from(file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id))


def describe(session: Session, ids: Collection[str]) -> dict[str, FileDescription]:
    """Describe these files, by their ids; those that do not exist are left out."""
    wanted: Any = sa.bindparam("ids", list(ids), type_=ARRAY(sa.TEXT))
    found = _read(session, _DESCRIPTIONS.where(file_table.c.id == sa.any_(wanted)))
    return {file.id: file for file in found}


def describe_belongings(
    session: Session, owner: Owner, *, only_loose: bool = False
) -> list[FileDescription]:
    """Describe the files of an owner, newest first.

    :param only_loose: leave out those that the owner keeps.
    """
    belongings = _DESCRIPTIONS.where(
        owner_table.c.owner_type == owner.type, owner_table.c.owner_id == owner.id
    )
    if only_loose:
        belongings = belongings.where(owner_table.c.pinned.is_(False))
    return _read(session, belongings.order_by(file_table.c.created.desc(), file_table.c.id))


def _read(session: Session, statement: Any) -> list[FileDescription]:
    flush_files(session)
    return [
        FileDescription(*values, owner=Owner(type_, owner_id) if type_ else None)
        for *values, type_, owner_id in session.execute(statement)
    ]
