"""The formats that some files have, for a filter that offers no others."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.store.formats import format_by
from ckanext.files.store.models import array_literal, file_table, owner_table

from .formats import CONTENT_TYPE, SUFFIX
from .scope import ScopeConditions

_MOST_FILES = 1000
"""The most files of owners whose formats are read."""

_MOST_PAIRS = 500
"""The most pairs of a type and a suffix that are read: people name files as they like."""

_OF_IDS = f"""
    SELECT DISTINCT {SUFFIX}, {CONTENT_TYPE} FROM {file_table}
    WHERE id = ANY(CAST(:ids AS text[])) LIMIT {_MOST_PAIRS + 1}
"""


def formats_in_use(session: Session, owned: ScopeConditions) -> list[str] | None:
    """Return the names of the formats that the files of an owner have, in their order.

    :returns: None if it would take longer than the rest of a page: without an owner, or if there
        are too many files, parts of the owner, or pairs of a type and a suffix.
    """
    if owned.is_of_any or owned.has_many_owners:
        return None
    statement = sa.select(owner_table.c.file_id).where(owned.to_collect).limit(_MOST_FILES + 1)
    ids = session.execute(statement).scalars().all()
    if len(ids) > _MOST_FILES:
        return None
    pairs = session.execute(sa.text(_OF_IDS), {"ids": array_literal(ids)}).all()
    if len(pairs) > _MOST_PAIRS:
        return None
    names = {name for pair in pairs if (name := format_by(*pair))}
    return sorted(names, key=str.lower)
