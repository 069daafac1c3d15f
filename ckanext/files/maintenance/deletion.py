"""Deleting rows of files. Their bytes are somebody else's business: they go after the commit."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from ckanext.files.store.identity import expire
from ckanext.files.store.models import file_table

from .selection import Selection, as_rows
from .stored_file import StoredFile


def delete(session: Session, selection: Selection, ids: Collection[str]) -> list[StoredFile]:
    """Delete files, with their owners and history, and return what they were.

    Those that are no longer selected, and those that somebody works with at the
    moment, stay.
    """
    files = selection.lock(session, ids)
    doomed = {file.id for file in files}
    session.execute(file_table.delete().where(file_table.c.id.in_(as_rows(doomed))))
    expire(session, doomed)
    return files
