"""Files as people see them: names and sizes for many files at once, CKAN's dictionary for one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from .models import File, Owner, file_table, flush_files, owner_table
from .titles import TITLE, shown_name


class FileDescription(NamedTuple):
    """A file as a person knows it, and what decides who may see it."""

    id: str
    name: str
    content_type: str

    size: int
    """In bytes."""

    created: datetime
    storage: str

    title: str | None
    """What people see instead of the name; see :mod:`.titles`."""

    owner: Owner | None

    @property
    def display_name(self) -> str:
        return shown_name(self.title, self.name)


_COLUMNS = ("id", "name", "content_type", "size", "created", "storage")
_DESCRIPTIONS = sa.select(
    *(file_table.c[name] for name in _COLUMNS),
    sa.literal_column(TITLE),
    owner_table.c.owner_type,
    owner_table.c.owner_id,
).select_from(file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id))


def describe_files(session: Session, ids: Collection[str]) -> dict[str, FileDescription]:
    """Return the descriptions of the files that exist, by their ids."""
    found = _read(session, _DESCRIPTIONS.where(_is_one_of(ids)))
    return {file.id: file for file in found}


def _read(session: Session, statement: Any) -> list[FileDescription]:
    flush_files(session)
    return [
        FileDescription(*values, owner=Owner(type_, owner_id) if type_ else None)
        for *values, type_, owner_id in session.execute(statement)
    ]


def load_files(session: Session, ids: Collection[str]) -> list[Any]:
    """Return CKAN's objects of files.

    A session has an object only as long as other code refers to it. While the caller keeps these,
    CKAN's auth functions and actions do not read them again one by one.
    """
    return list(session.execute(sa.select(File).where(_is_one_of(ids))).scalars())


def _is_one_of(ids: Collection[str]) -> Any:
    wanted: Any = sa.bindparam("ids", list(ids), type_=ARRAY(sa.TEXT))
    return file_table.c.id == sa.any_(wanted)


def file_dict(session: Session, file_id: str, *, include_plugin_data: bool = False) -> Any:
    """Return the dictionary of a file that exists, as CKAN's own actions show it."""
    file: Any = session.get(File, file_id)
    return file.dictize(include_plugin_data)
