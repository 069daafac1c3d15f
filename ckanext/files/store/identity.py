"""Keep the session's objects and the tables in agreement.

The store works on tables, CKAN's own file actions on mapped objects, and
CKAN's session neither flushes before a statement nor expires at a commit.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from .models import File, FileOwner

_MODELS = (File, FileOwner)


def flush_files(session: Session) -> None:
    """Write files that somebody has put into the session and not flushed."""
    if any(
        isinstance(item, _MODELS) for pending in (session.new, session.dirty) for item in pending
    ):
        session.flush()


def expire(session: Session, ids: Collection[str]) -> None:
    """Let what the session knows of these files be read anew."""
    wanted = set(ids)
    for key in list(session.identity_map.keys()):
        if key[0] in _MODELS and key[1][0] in wanted and (item := session.identity_map.get(key)):
            session.expire(item)
