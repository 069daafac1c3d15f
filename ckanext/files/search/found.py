"""The search itself.

It takes one of two ways, because PostgreSQL cannot estimate how many files some owners have
together. The first way collects the files that fulfil the conditions, up to a limit, and sorts
them: fast for few. If there are more, the second way goes along the index of the order and takes
the first files that fulfil the conditions: fast for many.

The same limit ends the count. To count a hundred thousand files takes longer than the rest of a
page, and no person needs the number.
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
from .scope import Scope
from .sorting import NEWEST_FIRST, Sort
from .words import contains_words

MOST_COUNTED = 10_000
"""Up to this number, the count of a search is exact."""

_MOST_ASKED = 1000
"""How many files a search looks at when it has to ask for each whether the visitor may see it."""

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
    page = _Page(query, start, rows, is_of_owners=scope.owner is not None)
    count, ids = session.execute(page.of_few(owned.to_collect)).one()
    if count <= MOST_COUNTED:
        return Found(ids, count, is_exact=True)
    ids = session.execute(page.of_many(owned.to_filter)).scalars()
    return Found(list(ids), MOST_COUNTED, is_exact=False)


class _Page(NamedTuple):
    """The statements that read a page."""

    query: Query
    start: int
    rows: int
    is_of_owners: bool

    def of_few(self, is_owned: Any) -> Any:
        """Return the statement of the first way: the number of files up to the limit, the page."""
        # PostgreSQL reads no more of it than is needed, but plans it for all: without its own
        # limit it uses the index of the words where it would otherwise look for them row by row
        matching = self._matching(is_owned).cte("matching").prefix_with("MATERIALIZED")
        found = sa.select(matching).limit(MOST_COUNTED + 1).cte("found").prefix_with("MATERIALIZED")
        number = sa.select(sa.func.count()).select_from(found).scalar_subquery()
        if self._needs_owners_only:
            page = sa.select(found.c.id).join(_TABLES, file_table.c.id == found.c.id)
            page = self._cut(page, self.query.sort.columns)
        else:
            page = self._cut(sa.select(list(found.c)[-1]), list(found.c))
        ids = sa.func.array(page.scalar_subquery())
        # the second way reads the page if there are more
        return sa.select(number, sa.case((number <= MOST_COUNTED, ids)))

    def _matching(self, is_owned: Any) -> Any:
        if self._needs_owners_only:
            return sa.select(owner_table.c.file_id.label("id")).where(is_owned)
        columns = self.query.sort.columns
        labelled = [column.label(f"key{i}") for i, column in enumerate(columns)]
        return self._select(labelled, is_owned)

    @property
    def _needs_owners_only(self) -> bool:
        """The owners decide which files there are: to join all files first would take longer."""
        return self.is_of_owners and not self.query.conditions()

    def of_many(self, is_owned: Any) -> Any:
        """Return the statement of the second way: the page only."""
        statement = self._select([file_table.c.id], is_owned)
        return self._cut(statement, self.query.sort.columns)

    def _select(self, columns: list[Any], is_owned: Any) -> Any:
        statement = sa.select(*columns).select_from(_TABLES)
        return statement.where(is_owned, *self.query.conditions())

    def _cut(self, statement: Any, columns: list[Any]) -> Any:
        descending = self.query.sort.descending
        order = [column.desc() if descending else column.asc() for column in columns]
        return statement.order_by(*order).offset(self.start).limit(self.rows)
