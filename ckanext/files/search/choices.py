"""The files that a form offers for a field: own files of its user, and others of what it edits."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from ckanext.files.store import FileDescription, Owner, describe_files
from ckanext.files.store.models import file_table, flush_files, owner_table

from .words import contains_words

_FILES = sa.select(file_table.c.id).join_from(file_table, owner_table)
_NEWEST_FIRST = (file_table.c.created.desc(), file_table.c.id)


def find_choices(
    session: Session,
    user: Owner,
    edited: Iterable[Owner],
    words: str = "",
    start: int = 0,
    rows: int = 20,
    without: Collection[str] = (),
) -> list[FileDescription]:
    """Return the files that a user may choose, newest first, however many there are.

    :param user: its files are offered, without those that its profile keeps.
    :param edited: all files of these are offered.
    :param words: see :func:`.words.contains_words`.
    :param without: ids of files that are not offered.
    """
    flush_files(session)
    found = _FILES.where(_offered(user, edited))
    if (condition := contains_words(words)) is not None:
        found = found.where(condition)
    if without:
        left_out: Any = sa.bindparam("without", list(without), type_=ARRAY(sa.TEXT))
        found = found.where(file_table.c.id != sa.all_(left_out))
    ids = session.execute(found.order_by(*_NEWEST_FIRST).offset(start).limit(rows)).scalars().all()
    files = describe_files(session, ids) if ids else {}
    return [files[id_] for id_ in ids if id_ in files]


def _offered(user: Owner, edited: Iterable[Owner]) -> Any:
    columns = owner_table.c
    own = sa.and_(_is(user), columns.pinned.is_(False))
    return sa.or_(own, *(_is(owner) for owner in edited))


def _is(owner: Owner) -> Any:
    return sa.and_(owner_table.c.owner_type == owner.type, owner_table.c.owner_id == owner.id)
