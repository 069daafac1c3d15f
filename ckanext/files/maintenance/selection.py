"""Selecting files by conditions, and reading or locking them page by page in the order of ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from ckanext.files.store import TITLE, shown_name
from ckanext.files.store.models import array_literal, file_table, flush_files, owner_table
from ckanext.files.store.storages import FileData, Location


class StoredFile(NamedTuple):
    """The columns of a file's row that describe the file and its bytes."""

    id: str
    name: str
    storage: str
    location: str
    content_type: str
    size: int
    hash: str
    algorithm: str
    storage_data: dict[str, Any]
    title: str | None

    @property
    def display_name(self) -> str:
        return shown_name(self.title, self.name)

    @property
    def data(self) -> Any:
        """What the methods of a storage take for this file."""
        return as_data(self._asdict())


_COLUMNS = [
    sa.literal_column(TITLE) if name == "title" else file_table.c[name]
    for name in StoredFile._fields
]


def as_data(values: dict[str, Any]) -> Any:
    """Return what the methods of a storage take, from the columns of a row."""
    return FileData(
        Location(values["location"]),
        size=values["size"],
        content_type=values["content_type"],
        hash=values["hash"],
        storage_data=dict(values["storage_data"] or {}),
    )


class Amount(NamedTuple):
    """The number of files that are selected, and their size."""

    files: int
    size: int
    """In bytes."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """Files that fulfil all conditions."""

    conditions: Sequence[Any] = ()
    """Conditions on the columns of the file; with ``owned`` also on the columns of its owner."""

    owned: bool = False
    """Select only files that have an owner."""

    def amount(self, session: Session) -> Amount:
        """Count the files and add up their sizes."""
        size = sa.func.coalesce(sa.func.sum(file_table.c.size), 0)
        files, size = session.execute(self._select(sa.func.count(), size)).one()
        return Amount(files, int(size))

    def page(self, session: Session, after: str, limit: int) -> list[StoredFile]:
        """Return the files that follow an id."""
        statement = self._select(*_COLUMNS).where(file_table.c.id > after).limit(limit)
        return self._read(session, statement)

    def lock(self, session: Session, ids: Collection[str]) -> list[StoredFile]:
        """Lock and return the files that still fulfil the conditions.

        Leaves out files that another transaction has locked. This transaction
        waits for no other one, so it cannot be part of a deadlock.
        """
        wanted = self._select(*_COLUMNS).where(file_table.c.id.in_(as_rows(ids)))
        tables = [file_table, owner_table] if self.owned else [file_table]
        return self._read(session, wanted.with_for_update(of=tables, skip_locked=True))

    def _select(self, *columns: Any) -> Any:
        tables: Any = file_table
        if self.owned:
            tables = tables.join(owner_table, owner_table.c.file_id == file_table.c.id)
        return sa.select(*columns).select_from(tables).where(*self.conditions)

    def _read(self, session: Session, statement: Any) -> list[StoredFile]:
        flush_files(session)
        rows = session.execute(statement.order_by(file_table.c.id))
        return [StoredFile(*row) for row in rows]


def in_storages(storages: Collection[str]) -> list[Any]:
    """Return the condition that a file is in one of these storages; no condition if empty."""
    return [file_table.c.storage.in_(list(storages))] if storages else []


def as_rows(ids: Collection[str]) -> Any:
    """Return a statement that selects these ids."""
    array = sa.cast(sa.bindparam("wanted_ids", array_literal(ids), sa.TEXT), ARRAY(sa.TEXT))
    return sa.select(sa.func.unnest(array))


def within(files: Iterable[StoredFile], size: int) -> list[StoredFile]:
    """Return the first files up to a size in bytes, but at least one."""
    chosen: list[StoredFile] = []
    for file in files:
        size -= file.size
        if chosen and size < 0:
            break
        chosen.append(file)
    return chosen


def still_in_place(session: Session, files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return the files whose rows still name the same storage and location."""
    named = Selection([file_table.c.id.in_(as_rows([file.id for file in files]))])
    now = {(file.id, file.storage, file.location) for file in named.page(session, "", len(files))}
    return [file for file in files if (file.id, file.storage, file.location) in now]
