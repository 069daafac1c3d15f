"""The search index, kept back until the commit.

CKAN 2.12 writes to Solr before it commits, CKAN 2.11 while it commits. Within
a hold neither may happen early: a failing task would leave a document of
something that never was. So the writes wait in the journal, one for each
dataset, and run right before the real COMMIT. A document that Solr refuses
makes the commit fail.

Meanwhile Solr is behind. CKAN takes a dataset from there where it says the same
``metadata_modified`` as the row, which not every change renews; so nobody gets
one from there until the commit, and CKAN reads the database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model
from ckan.lib import search
from ckan.lib.search.index import PackageSearchIndex
from ckan.lib.search.query import PackageSearchQuery
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from . import index_intents
from .index_repair import put_right
from .journal import Write, journal_of, unwritten

log = logging.getLogger(__name__)

_KEY = "ckanext.files.index_kept_back"
_DIRECTLY = "ckanext.files.index_written"
_EARLY = "ckanext.files.index_written_early"
_LEFT = "ckanext.files.index_left"


def keep_back(session: Session) -> None:
    """From now on, what this session's thread indexes waits for its commit."""
    session.info[_KEY] = True
    if early := session.info.get(_EARLY):
        journal_of(session).announce(early)


def stand_in_front() -> None:
    """Put our classes in front of those that index now, if they are not there."""
    indices: Any = search._INDICES  # noqa: SLF001 - CKAN has no other place to say it
    queries: Any = search._QUERIES  # noqa: SLF001
    indices["package"] = _behind(_KeptBackIndex, indices["package"])
    queries["package"] = _behind(_KeptBackQuery, queries["package"])
    # CKAN 2.11's bulk updates, datastore, and other extensions ask for it by its name
    module: Any = search
    module.PackageSearchIndex = _behind(_KeptBackIndex, search.PackageSearchIndex)


def let_through(session: Session) -> None:
    """End of :func:`keep_back`."""
    session.info.pop(_KEY, None)


def leave(session: Session) -> None:
    """What is indexed in the present transaction, also at its commit, waits for that commit.

    For the end of a hold that leaves the commit to its caller. CKAN 2.11 indexes
    there what was changed within the hold.
    """
    session.info[_LEFT] = session.get_transaction()


def _behind(front: type, current: type) -> type:
    """Put a class in front of the current one, which may be another extension's."""
    return current if issubclass(current, front) else type(front.__name__, (front, current), {})


class _KeptBackQuery(PackageSearchQuery):
    """Put in front of CKAN's query class. Without a hold it changes nothing."""

    def get_index(self, reference: str) -> dict[str, Any]:
        session = model.Session()
        if _KEY in session.info or unwritten(session, or_begun=True):
            raise search.SearchError("The search index waits for the commit")
        return super().get_index(reference)


class _KeptBackIndex(PackageSearchIndex):
    """Put in front of CKAN's index class. Without a hold it changes nothing."""

    def index_package(self, pkg_dict: dict[str, Any] | None, defer_commit: bool = False) -> None:
        write = super().index_package
        if pkg_dict and _kept_back():
            # the caller goes on using its dict, and hands it to the tasks
            document = _copy(pkg_dict)
            # not deferred: Solr's commit for which it should wait comes too early
            _record(document["id"], lambda: write(document))
        else:
            if pkg_dict:
                _note_early(pkg_dict["id"])
            write(pkg_dict, defer_commit)

    def delete_package(self, pkg_dict: dict[str, Any]) -> None:
        write = super().delete_package
        if _kept_back():
            reference = dict(pkg_dict)
            _record(reference["id"], lambda: write(reference))
        else:
            _note_early(pkg_dict["id"])
            write(pkg_dict)


def _copy(value: Any) -> Any:
    """Copy what CKAN and its plugins change in place; ``deepcopy`` takes three times as long."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _kept_back() -> bool:
    session = model.Session()
    if _DIRECTLY in session.info:
        return False
    left = session.info.get(_LEFT)  # perhaps of a transaction that has ended
    is_left = left is not None and left is session.get_transaction()
    return is_left or _KEY in session.info or unwritten(session)


def _record(package_id: str, run: Any) -> None:
    # while it runs, index_package may call delete_package of its own: not to be kept again
    def write() -> None:
        with _directly(model.Session()):
            run()

    entry = Write(run=write, repair=lambda: _repair(package_id))
    journal_of(model.Session()).add_write(package_id, entry)


def _note_early(package_id: str) -> None:
    session = model.Session()
    if _DIRECTLY not in session.info:
        session.info.setdefault(_EARLY, set()).add(package_id)


def take_early(session: Session) -> set[str]:
    """Return the datasets that the present transaction has indexed before a hold began.

    A hook that makes the document may begin the hold; and CKAN 2.11 indexes when a
    savepoint of its caller is released.
    """
    return session.info.pop(_EARLY, set())


def repair(package_ids: Iterable[str]) -> None:
    """Make the search index agree with the database, which these datasets did not change."""
    for package_id in package_ids:
        _repair(package_id)


@event.listens_for(model.Session, "after_transaction_end")
def _forget_early(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        take_early(session)


@contextmanager
def _directly(session: Session) -> Iterator[None]:
    session.info[_DIRECTLY] = True
    try:
        yield
    finally:
        session.info.pop(_DIRECTLY, None)


def _repair(package_id: str) -> None:
    try:
        put_right(package_id)
    except Exception:
        log.exception(
            "Solr may tell of a change of dataset %s that was not committed. %s",
            package_id,
            _advice(package_id),
        )


def _advice(package_id: str) -> str:
    if index_intents.are_possible():
        return (
            "A worker puts that right, or the next action with a queued task. "
            "To do it now: ckan files repair-index"
        )
    return (
        f"Put that right with: ckan search-index rebuild {package_id}; or, if there is no such "
        f"dataset, with: ckan search-index clear {package_id}"
    )
