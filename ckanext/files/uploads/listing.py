"""The uploads of a user."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .table import Upload, upload_table


def unfinished_uploads(session: Session, user_id: str) -> list[Upload]:
    """Return the uploads that a user may continue, the newest first."""
    columns = upload_table.c
    statement = (
        sa.select(*(columns[name] for name in Upload._fields))
        .where(
            columns.user_id == user_id,
            columns.file_id.is_(None),
            columns.expires > sa.func.now(),
        )
        .order_by(columns.created.desc(), columns.id)
    )
    rows: Any = session.execute(statement)
    return [Upload(*row) for row in rows]
