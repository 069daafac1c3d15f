"""The search itself.

It takes one of two ways, because PostgreSQL cannot estimate how many files some owners have
together. The first way collects the files that fulfil the conditions, up to a limit, and sorts
them: fast for few. If there are more, the second way goes along the index of the order and takes
the first files that fulfil the conditions: fast for many. The limit is larger for the files of one
owner: they may all be old, so that the second way would pass all files of the portal.

Another limit ends the count that people see. To count a hundred thousand files takes longer than
the rest of a page, and no person needs the number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.store import FileDescription, describe_files
from ckanext.files.store.models import file_table, flush_files, owner_table

from .formats import has_format
from .scope import ALL, Scope
from .sorting import NEWEST_FIRST, Sort
from .words import contains_words

MOST_COUNTED = 10_000
"""Up to this number, the count of a search is exact."""

_MOST_ASKED = 1000
"""How many files a search looks at when it has to ask for each whether the visitor may see it."""

_MOST_COLLECTED = 50_000
"""The most files of one owner that a search collects and sorts: that takes tens of milliseconds."""

_ID = file_table.c.id.label("id")
_TABLES = file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id)


@dataclasses.dataclass(frozen=True)
class Query:
    """What the files of a search have in common, and their order."""

    words: str = ""
    storage: str = ""
    format: str = ""
    sort: Sort = NEWEST_FIRST

    def conditions(self) -> list[Any]:
        """Return the conditions on a file's row."""
        found = [
            contains_words(self.words),
            file_table.c.storage == self.storage if self.storage else None,
            has_format(self.format) if self.format else None,
        ]
        return [condition for condition in found if condition is not None]


class Found(NamedTuple):
    """One page of the files that a search has found."""

    ids: list[str]

    number: int
    """The number of files on all pages."""

    is_exact: bool
    """There are no more than ``number`` files."""


def search(
    session: Session,
    scope: Scope,
    query: Query,
    start: int,
    rows: int,
    may_see: Callable[[FileDescription], bool] | None = None,
) -> Found:
    """Find files.

    :param may_see: what it refuses is in neither page nor count. Where it is given, the search
        looks at the first thousand files only.
    """
    flush_files(session)
    if may_see is None:
        return _search(session, scope, query, start, rows)
    found = _search(session, scope, query, 0, _MOST_ASKED)
    files = describe_files(session, found.ids)
    seen = [id_ for id_ in found.ids if id_ in files and may_see(files[id_])]
    return Found(seen[start : start + rows], len(seen), found.number <= _MOST_ASKED)


def _search(session: Session, scope: Scope, query: Query, start: int, rows: int) -> Found:
    owned = scope.conditions(session)
    most = _MOST_COLLECTED if scope.owner else MOST_COUNTED
    page = _Page(query, start, rows, most)
    of_owners_only = scope != ALL and not query.conditions()
    statement = page.of_owners if of_owners_only else page.of_few
    count, ids = session.execute(statement(owned.to_collect)).one()
    if ids is None:
        ids = session.execute(page.of_many(owned.to_filter)).scalars()
    return Found(list(ids), min(count, MOST_COUNTED), count <= MOST_COUNTED)


class _Page(NamedTuple):
    """The statements that read a page."""

    query: Query
    start: int
    rows: int

    most: int
    """How many files the first way collects."""

    def of_few(self, is_owned: Any) -> Any:
        """Return the statement of the first way: the number of files up to the limit, the page."""
        # PostgreSQL reads no more of it than is needed, but plans it for all: without its own
        # limit it uses the index of the words where it would otherwise look for them row by row
        matching = _materialized("matching", self._select([*self._keys, _ID], is_owned))
        found = _materialized("found", sa.select(matching).limit(self.most + 1))
        return self._if_few(found, found)

    def of_owners(self, is_owned: Any) -> Any:
        """Return the statement that does the same where only the owners decide what is found.

        It does not read the files before it knows how many there are.
        """
        owned = sa.select(owner_table.c.file_id).where(is_owned)
        listed = _materialized("listed", owned.limit(self.most + 1))
        files = _TABLES.join(listed, listed.c.file_id == file_table.c.id)
        # materialized: for a small page, PostgreSQL would compare each file with each of the ids
        found = _materialized("found", sa.select(*self._keys, _ID).select_from(files))
        return self._if_few(listed, found)

    def of_many(self, is_owned: Any) -> Any:
        """Return the statement of the second way: the page only."""
        statement = self._select([file_table.c.id], is_owned)
        return self._cut(statement, self.query.sort.columns)

    @property
    def _keys(self) -> list[Any]:
        return [key.label(f"key{i}") for i, key in enumerate(self.query.sort.columns)]

    def _if_few(self, counted: Any, found: Any) -> Any:
        """Return the statement of the number, and of the page unless the second way reads it."""
        page = self._cut(sa.select(found.c.id), [found.c[key.name] for key in self._keys])
        number = sa.select(sa.func.count()).select_from(counted).scalar_subquery()
        is_few = number <= self.most
        return sa.select(number, sa.case((is_few, sa.func.array(page.scalar_subquery()))))

    def _select(self, columns: list[Any], is_owned: Any) -> Any:
        statement = sa.select(*columns).select_from(_TABLES)
        return statement.where(is_owned, *self.query.conditions())

    def _cut(self, statement: Any, columns: list[Any]) -> Any:
        descending = self.query.sort.descending
        order = [column.desc() if descending else column.asc() for column in columns]
        return statement.order_by(*order).offset(self.start).limit(self.rows)


def _materialized(name: str, statement: Any) -> Any:
    return statement.cte(name).prefix_with("MATERIALIZED")
