"""The statements that read one page of the files of a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from ckanext.files.store.models import file_table, owner_table

from .query import Query
from .scope import ScopeConditions

_LOOKED_AT = 40
"""How many times as many files a search looks at, at the beginning of the order, as it needs."""

_MOST_LOOKED_AT = 5000
"""The most files that it looks at: that takes milliseconds."""

_MOST_LOOKED_UP = 1000
"""Up to this number, to look up the owner of each takes less time than a join."""

_SMALL_PART = 20
"""To read a file by its id takes as long as to go past so many in an order."""

_FILES_IN_ALL = sa.text(f"(SELECT reltuples FROM pg_class WHERE oid = '{file_table}'::regclass)")
"""As PostgreSQL estimates it; 0 or less as long as it does not know."""

_TABLES = file_table.outerjoin(owner_table, owner_table.c.file_id == file_table.c.id)


class Page(NamedTuple):
    """A page, and the ways to read it."""

    owned: ScopeConditions
    query: Query
    start: int
    rows: int

    @property
    def depends_on_owners_only(self) -> bool:
        """Whether the table of owners alone says which files are found."""
        return not (self.query.has_conditions or self.owned.includes_unowned)

    def collected(self, most: int) -> Any:
        """Return the statement of the number of files, and of the page unless they are more.

        :param most: the most files that it collects.
        """
        return self._owned(most) if self.depends_on_owners_only else self._matching(most)

    def _owned(self, most: int) -> Any:
        """Collect the ids of the owners' files first: PostgreSQL cannot estimate how many they are.

        Then read few files by their ids, and sort them. For many, go along the order, and leave out
        the files of other owners.
        """
        owned = sa.select(owner_table.c.file_id).where(self.owned.to_collect).limit(most + 1)
        ids = owned.subquery().c.file_id
        collected = sa.select(
            sa.func.count().label("number"),
            sa.func.array_agg(ids, type_=ARRAY(sa.Text)).label("ids"),
        )
        of_owners = collected.cte("of_owners").prefix_with("MATERIALIZED")
        number, ids = of_owners.c.number, of_owners.c.ids

        def page(condition: Any) -> Any:
            statement = self._cut(sa.select(file_table.c.id).where(condition))
            return sa.func.array(statement.correlate(of_owners).scalar_subquery())

        by_id = file_table.c.id == sa.any_(ids)
        # IS TRUE keeps PostgreSQL from making a join of it, which would lose the order. From an
        # array it expects ten ids: so it hashes them, however small work_mem is.
        each_id = sa.select(sa.func.unnest(ids)).select_from(of_owners).correlate(None)
        in_order = file_table.c.id.in_(each_id).is_(sa.true())
        is_small_part = number * _SMALL_PART < _FILES_IN_ALL
        ids_on_page = sa.case(
            (number > most, sa.null()), (is_small_part, page(by_id)), else_=page(in_order)
        )
        return sa.select(number, ids_on_page)

    def _matching(self, most: int) -> Any:
        """Collect the files, and sort them."""
        each = [self._fulfilling(conditions) for conditions in self.query.alternatives]
        collected = sa.union_all(*each) if len(each) > 1 else each[0]
        if not self.query.has_conditions:
            # with conditions it would let the planner expect to stop early, and look for words row
            # by row instead of in their index
            collected = collected.limit(most + 1)
        found = collected.cte("found").prefix_with("MATERIALIZED")
        some = sa.select(sa.literal(1)).select_from(found).limit(most + 1).subquery()
        counted = sa.select(sa.func.count().label("number")).select_from(some).subquery()
        number, keys = counted.c.number, self._keys_of(found)
        *_, id_ = keys  # each order ends with the id, see Sort.columns
        page = self._cut(sa.select(id_), keys).scalar_subquery()
        return sa.select(number, sa.case((number <= most, sa.func.array(page))))

    def _fulfilling(self, conditions: list[Any]) -> Any:
        if not self.owned.has_many_owners:
            return _with_owners(self._keys).where(self.owned.to_collect, *conditions)
        # An offset is an optimization fence: PostgreSQL compares only owners of files that fulfil
        # the conditions with the list of many, instead of all.
        owner = owner_table.c.owner_type, owner_table.c.owner_id
        files = sa.select(*self._keys, *owner).where(file_table.c.id == owner_table.c.file_id)
        files = files.where(*conditions).offset(0).subquery("files")
        return sa.select(*self._keys_of(files)).where(self.owned.to_collect)

    @property
    def may_be_at_beginning(self) -> bool:
        """Whether :meth:`at_beginning` may return a whole page."""
        return self.start + self.rows <= _MOST_LOOKED_AT

    def at_beginning(self) -> Any:
        """Return the statement of the page as far as it is among the first files of the order.

        It leaves out files without an owner. Fast for many files that are spread over the portal;
        for others it reads at most 5,000 files in vain.
        """
        looked_at = min(_LOOKED_AT * (self.start + self.rows), _MOST_LOOKED_AT)
        first = sa.select(file_table, *self._keys).order_by(*self._ordered())
        first = first.limit(looked_at).subquery("first")
        is_first = owner_table.c.file_id == first.c.id
        owner = sa.select(owner_table.c.file_id).where(is_first, self.owned.to_filter)
        # An offset is an optimization fence. For few files PostgreSQL then looks up their owners,
        # instead of reading all files of an owner; and it looks for words in what is left only.
        if looked_at <= _MOST_LOOKED_UP:
            owner = owner.offset(0)
        owned = sa.select(first).select_from(first.join(owner.lateral(), sa.true()))
        owned = owned.order_by(*self._ordered(self._keys_of(first))).offset(0).subquery("owned")
        statement = sa.select(owned.c.id).where(self.query.condition)
        return self._cut(statement, self._keys_of(owned))

    def along_order(self) -> Any:
        """Return the statement of the page that goes along the order until it has enough."""
        statement = _with_owners([file_table.c.id])
        return self._cut(statement.where(self.owned.to_filter, self.query.condition))

    def along_owners(self) -> Any:
        """Return the same for the order by owner, without a look at files.

        Only where :attr:`depends_on_owners_only`.
        """
        statement = sa.select(owner_table.c.file_id).where(self.owned.to_collect)
        return self._cut(statement, [*self.query.sort.columns[:-1], owner_table.c.file_id])

    def count_owned(self, most: int) -> Any:
        """Return the statement of the number of the owners' files, at most one more than most."""
        some = sa.select(sa.literal(1)).select_from(owner_table).where(self.owned.to_collect)
        return sa.select(sa.func.count()).select_from(some.limit(most + 1).subquery())

    @property
    def _keys(self) -> list[Any]:
        return [key.label(f"key{i}") for i, key in enumerate(self.query.sort.columns)]

    def _keys_of(self, table: Any) -> list[Any]:
        return [table.c[key.name] for key in self._keys]

    def _cut(self, statement: Any, columns: list[Any] | None = None) -> Any:
        return statement.order_by(*self._ordered(columns)).offset(self.start).limit(self.rows)

    def _ordered(self, columns: list[Any] | None = None) -> list[Any]:
        descending = self.query.sort.descending
        columns = self.query.sort.columns if columns is None else columns
        return [column.desc() if descending else column.asc() for column in columns]


def _with_owners(columns: list[Any]) -> Any:
    return sa.select(*columns).select_from(_TABLES)
