"""The formats that some files have, for a filter that offers no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.store.models import array_literal, file_table, owner_table

from .formats import CONTENT_TYPE, SUFFIX, format_by
from .scope import Scope

_MOST_FILES = 1000
"""The most files of owners whose formats are read."""

_MOST_PAIRS = 500
"""The most pairs of a type and a suffix that are read: people name files as they like."""

# PostgreSQL goes from each pair to the next one in the index
_OF_ALL = f"""
    WITH RECURSIVE pair AS (
        (SELECT {CONTENT_TYPE} AS type, {SUFFIX} AS suffix FROM {file_table} ORDER BY 1, 2 LIMIT 1)
        UNION ALL
        SELECT following.* FROM pair CROSS JOIN LATERAL (
            SELECT {CONTENT_TYPE}, {SUFFIX} FROM {file_table}
            WHERE ({CONTENT_TYPE}, {SUFFIX}) > (pair.type, pair.suffix)
            ORDER BY 1, 2 LIMIT 1
        ) AS following
    )
    SELECT suffix, type FROM pair LIMIT {_MOST_PAIRS + 1}
"""
_OF_IDS = f"""
    SELECT DISTINCT {SUFFIX}, {CONTENT_TYPE} FROM {file_table}
    WHERE id = ANY(CAST(:ids AS text[])) LIMIT {_MOST_PAIRS + 1}
"""


def formats_in_use(session: Session, scope: Scope) -> list[str] | None:
    """Return the names of the formats that files have, in their order.

    :param scope: the answer for types of owners is the answer for all files.
    :returns: None if there are too many files to look at each, and the files of others must not
        count.
    """
    if scope.owner is None:
        return _names(session.execute(sa.text(_OF_ALL)).all())
    owned = scope.conditions(session)
    if owned.has_many_owners:
        return None
    statement = sa.select(owner_table.c.file_id).where(owned.to_collect).limit(_MOST_FILES + 1)
    ids = session.execute(statement).scalars().all()
    if len(ids) > _MOST_FILES:
        return None
    return _names(session.execute(sa.text(_OF_IDS), {"ids": array_literal(ids)}).all())


def _names(pairs: Iterable[Any]) -> list[str] | None:
    found = list(pairs)
    if len(found) > _MOST_PAIRS:
        return None
    names = {name for pair in found if (name := format_by(*pair))}
    return sorted(names, key=str.lower)
