"""Repair of the search index after a transaction that did not commit.

A transaction that died leaves an intent (:mod:`.index_intents`). The repair
looks at each intent several times: what the dead process has sent may still be
on its way, or wait within Solr. Each time Solr gets the dataset as the database
has it, or deletes the dataset.

The repair overwrites no newer change: it does nothing while a transaction
changes the dataset, and locks the dataset meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from ckan import model
from ckan.lib import search
from sqlalchemy.orm import Session

from ckanext.files.advisory_locks import INDEX_INTENTS

from .index_intents import are_due

log = logging.getLogger(__name__)

_PAUSES = (2, 5)
"""Seconds until the next look, after each look but the last."""

_TAKE = sa.text("""
    SELECT id, package_id, looks FROM files_index_intent
    WHERE due <= clock_timestamp() ORDER BY looks, due LIMIT 1 FOR UPDATE SKIP LOCKED
""")

_LOCK = sa.text(f"SELECT pg_try_advisory_xact_lock({INDEX_INTENTS}, hashtext(:package))")

_LOCK_ROW = sa.text("SELECT id FROM package WHERE id = :package FOR UPDATE SKIP LOCKED")

_EXISTS = sa.text("SELECT EXISTS (SELECT FROM package WHERE id = :package)")

_WAIT = sa.text("""
    UPDATE files_index_intent SET due = clock_timestamp() + make_interval(secs => :pause)
    WHERE id = :id
""")

_LOOKED = sa.text("""
    UPDATE files_index_intent
    SET looks = looks + 1, due = clock_timestamp() + make_interval(secs => :pause) WHERE id = :id
""")

_FORGET = sa.text("DELETE FROM files_index_intent WHERE id = :id")

# the wait grows with the time since the intent was written
_FAILED = sa.text("""
    UPDATE files_index_intent SET due = clock_timestamp() + least(
        interval '1 hour', greatest(interval '1 second', (clock_timestamp() - created) / 2))
    WHERE id = :id
""")


_TABLE = sa.text("SELECT to_regclass('files_index_intent') IS NOT NULL")

_MAKE_DUE = sa.text("""
    UPDATE files_index_intent SET due = clock_timestamp()
    WHERE id IN (SELECT id FROM files_index_intent FOR UPDATE SKIP LOCKED)
""")

_LEFT = sa.text("SELECT package_id FROM files_index_intent FOR UPDATE SKIP LOCKED")


class Repair(NamedTuple):
    """One look at an intent."""

    package_id: str

    error: str = ""
    """Why the repair failed; it is tried again later."""


def repair_due() -> Iterator[Repair]:
    """Look at all intents of dead transactions that are due."""
    while are_due(model.Session()) and (done := repair_next()):
        yield done


def repair_next() -> Repair | None:
    """Repair at one intent, with a session of its own; None if there is none to look at."""
    with _own_session() as session:
        intent = session.execute(_TAKE).first()
        if intent is None:
            return None
        try:
            _look(session, intent)
        except Exception as error:
            session.rollback()
            session.execute(_FAILED, {"id": intent.id})
            session.commit()
            reason = str(error) or repr(error)
            log.warning(
                "Solr may have a change of dataset %s that was not committed. "
                "The repair has failed, and will be tried again: %s",
                intent.package_id,
                reason,
            )
            return Repair(intent.package_id, reason)
        return Repair(intent.package_id)


def table_exists() -> bool:
    """Return whether the table of intents is there."""
    with _own_session() as session:
        return bool(session.execute(_TABLE).scalar())


def make_all_due() -> None:
    """Make the next look at each intent due now."""
    with _own_session() as session:
        session.execute(_MAKE_DUE)
        session.commit()


def datasets_to_repair() -> set[str]:
    """Return the ids of datasets for which dead transactions have left intents."""
    with _own_session() as session:
        return set(session.execute(_LEFT).scalars())


def reindex(package_id: str) -> None:
    """Give Solr the dataset as the database has it."""
    if model.Session.execute(_EXISTS, {"package": package_id}).scalar():
        # given an id only, CKAN 2.11 first deletes the document, and Solr may refuse the new one
        search.rebuild(package_ids=[package_id])
        search.commit()
    else:
        search.clear(package_id)


def _look(session: Session, intent: Any) -> None:
    package = {"package": intent.package_id}
    if not _lock(session, package):
        session.execute(_WAIT, {"id": intent.id, "pause": 1})
    else:
        reindex(intent.package_id)
        if not intent.looks:
            log.info(
                "The search index was repaired: a change of dataset %s had no commit",
                intent.package_id,
            )
        if intent.looks < len(_PAUSES):
            session.execute(_LOOKED, {"id": intent.id, "pause": _PAUSES[intent.looks]})
        else:
            session.execute(_FORGET, {"id": intent.id})
    session.commit()


def _lock(session: Session, package: dict[str, str]) -> bool:
    """Lock a dataset against changes; False while another transaction changes it."""
    if not session.execute(_LOCK, package).scalar():
        return False
    locked = session.execute(_LOCK_ROW, package).scalar()
    return bool(locked) or not session.execute(_EXISTS, package).scalar()


@contextmanager
def _own_session() -> Iterator[Session]:
    """Give CKAN's code in this thread another session, which ends with the block."""
    registry: Any = model.Session.registry
    before = registry()
    registry.set(model.Session.session_factory())
    try:
        yield model.Session()
    finally:
        model.Session.remove()
        registry.set(before)
