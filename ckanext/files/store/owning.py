"""Tell which of many owners have files."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .arrays import literal
from .models import owner_table
from .records import Owner

_OWNING = sa.text(f"""
    SELECT DISTINCT owner_type, owner_id
    FROM
        unnest(CAST(:types AS text[]), CAST(:ids AS text[])) AS wanted (type, id)
        JOIN {owner_table} ON owner_type = wanted.type AND owner_id = wanted.id
""")


def owning(session: Session, owners: Collection[Owner]) -> set[Owner]:
    """Return those that have files; whether they exist is not asked."""
    values = {
        "types": literal(owner.type for owner in owners),
        "ids": literal(owner.id for owner in owners),
    }
    return {Owner(*row) for row in session.execute(_OWNING, values)}
