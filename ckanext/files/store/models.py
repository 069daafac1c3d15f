"""The models and tables of files, records of their rows, and what statements on them need.

The models come from CKAN 2.12 or from the backport: no other module of the product imports
them from there. The store works on tables, CKAN's own file actions on mapped objects, and
CKAN's session neither flushes before a statement nor expires at a commit: a statement that
reads or writes the tables needs :func:`flush_files` before and :func:`expire` after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files import capabilities

_source: Any = import_module(
    "ckan.model" if capabilities.CORE_FILES else "ckanext.files.backport.model"
)

File: Any = _source.File
_FileOwner: Any = _source.FileOwner
_MODELS = (File, _FileOwner)

file_table: sa.Table = File.__table__
owner_table: sa.Table = _FileOwner.__table__
history_table: sa.Table = _source.FileOwnerTransferHistory.__table__

TABLES: frozenset[str] = frozenset(map(str, (file_table, owner_table, history_table)))
"""Names of the tables."""


class Owner(NamedTuple):
    """The owner of files, whether it exists or not."""

    type: str
    """``package``, ``resource``, ``group``, ``organization``, ``user``, or a plugin's own."""

    id: str


class FileRecord(NamedTuple):
    """A file and its owner, as they were at one moment."""

    id: str
    owner: Owner | None
    pinned: bool
    """It moves to another owner only with force."""


def flush_files(session: Session) -> None:
    """Write the files and owners that are pending in the session."""
    if any(
        isinstance(item, _MODELS) for pending in (session.new, session.dirty) for item in pending
    ):
        session.flush()


def expire(session: Session, ids: Collection[str]) -> None:
    """Make the session read its objects of these files again."""
    wanted = set(ids)
    for key in list(session.identity_map.keys()):
        if key[0] in _MODELS and key[1][0] in wanted and (item := session.identity_map.get(key)):
            session.expire(item)


def array_literal(values: Iterable[str | bool]) -> str:
    """Write many values as the text of one PostgreSQL array, to be cast in the statement.

    The text of the statement is then the same for any number of files. The driver would write
    a list into the statement value by value, and PostgreSQL would parse as many expressions:
    most of the time of a statement about a thousand files.
    """
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: str | bool) -> str:
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
