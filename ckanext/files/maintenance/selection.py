"""Files that fulfil conditions, page by page in the order of their ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from ckanext.files.store.arrays import literal
from ckanext.files.store.identity import flush_files
from ckanext.files.store.models import file_table, owner_table

from .stored_file import COLUMNS, StoredFile


class Amount(NamedTuple):
    """How much there is to do."""

    files: int
    size: int
    """In bytes."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """Files that fulfil all of the conditions.

    The conditions are about the columns of the file, and about those of its
    owner where only files with an owner are wanted.
    """

    conditions: Sequence[Any] = ()
    owned: bool = False

    def amount(self, session: Session) -> Amount:
        """Return how many files there are, and their size."""
        size = sa.func.coalesce(sa.func.sum(file_table.c.size), 0)
        files, size = session.execute(self._select(sa.func.count(), size)).one()
        return Amount(files, int(size))

    def page(self, session: Session, after: str, limit: int) -> list[StoredFile]:
        """Return the files that come after an id."""
        statement = self._select(*COLUMNS).where(file_table.c.id > after).limit(limit)
        return self._read(session, statement)

    def lock(self, session: Session, ids: Collection[str]) -> list[StoredFile]:
        """Return those of these files that still fulfil the conditions, locked.

        Files that somebody else works with are left out: nobody waits for
        anybody, so nobody waits in a circle.
        """
        wanted = self._select(*COLUMNS).where(file_table.c.id.in_(as_rows(ids)))
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
    """Return the condition that a file is in one of these storages; none at all for all."""
    return [file_table.c.storage.in_(list(storages))] if storages else []


def within(files: Iterable[StoredFile], size: int) -> list[StoredFile]:
    """Return as many files as a step may read: at least one, if there is any."""
    chosen: list[StoredFile] = []
    for file in files:
        size -= file.size
        if chosen and size < 0:
            break
        chosen.append(file)
    return chosen


def as_rows(ids: Collection[str]) -> Any:
    """Return a statement that selects these ids."""
    array = sa.cast(sa.bindparam("wanted_ids", literal(ids), sa.TEXT), ARRAY(sa.TEXT))
    return sa.select(sa.func.unnest(array))
