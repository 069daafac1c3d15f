"""The files that a form offers for a field: own files of its user, and others of what it edits."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from ckanext.files.store import FileDescription, Owner, describe_files
from ckanext.files.store.models import flush_files, owner_table

from .found import page_at_beginning, page_of_collected
from .page import Page
from .query import Query
from .scope import ScopeConditions


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
    offered = _offered(user, edited, without)
    owned = ScopeConditions(offered, offered)
    flush_files(session)
    page = Page(owned, Query(words), start, rows)
    ids = page_at_beginning(session, page) or page_of_collected(session, page)[0]
    files = describe_files(session, ids) if ids else {}
    return [files[id_] for id_ in ids if id_ in files]


def _offered(user: Owner, edited: Iterable[Owner], without: Collection[str]) -> Any:
    own = sa.and_(_is(user), owner_table.c.pinned.is_(False))
    offered = sa.or_(own, *(_is(owner) for owner in edited))
    if not without:
        return offered
    left_out: Any = sa.bindparam("without", list(without), type_=ARRAY(sa.TEXT))
    return sa.and_(offered, owner_table.c.file_id != sa.all_(left_out))


def _is(owner: Owner) -> Any:
    return sa.and_(owner_table.c.owner_type == owner.type, owner_table.c.owner_id == owner.id)
