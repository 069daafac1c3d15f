"""The search index, written right before the commit.

CKAN 2.12 writes to Solr before it commits, CKAN 2.11 while it commits. Within
a hold neither may happen early: a task that fails later would leave a document
without a row. So the writes wait in the journal, one for each dataset, and run
right before the real COMMIT. A document that Solr refuses makes the commit
fail.

Meanwhile Solr is behind. CKAN returns a dataset from Solr if the document has
the ``metadata_modified`` of the row, which not every change renews. So within a
hold CKAN gets no dataset from Solr and reads the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model
from ckan.lib import search
from ckan.lib.search.index import PackageSearchIndex
from ckan.lib.search.query import PackageSearchQuery
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from . import index_intents
from .index_repair import reindex
from .journal import Write, has_writes, journal_of

log = logging.getLogger(__name__)

_DEFERRING = "ckanext.files.index_deferring"
_DEFERRING_IN = "ckanext.files.index_deferring_in"
_WRITING = "ckanext.files.index_writing"
_EARLY = "ckanext.files.index_written_early"


def install() -> None:
    """Put our classes in front of CKAN's, once."""
    indices: Any = search._INDICES  # noqa: SLF001 - CKAN has no other place for this
    queries: Any = search._QUERIES  # noqa: SLF001
    indices["package"] = _in_front(_DeferringIndex, indices["package"])
    queries["package"] = _in_front(_DeferringQuery, queries["package"])
    # CKAN 2.11's bulk updates, datastore, and other extensions use it by its name
    module: Any = search
    module.PackageSearchIndex = _in_front(_DeferringIndex, search.PackageSearchIndex)


def defer(session: Session) -> None:
    """Defer what this session's thread writes into the index, until the session's commit."""
    session.info[_DEFERRING] = True
    if early := session.info.get(_EARLY):
        journal_of(session).write_intents(early)


def stop_deferring(session: Session) -> None:
    """End what :func:`defer` has begun."""
    session.info.pop(_DEFERRING, None)


def defer_to_next_commit(session: Session) -> None:
    """Defer the writes of the present transaction, also those that its commit makes.

    For the end of a hold that leaves the commit to its caller. At that commit CKAN
    2.11 indexes what was changed within the hold.
    """
    session.info[_DEFERRING_IN] = session.get_transaction()


def take_early(session: Session) -> set[str]:
    """Return the datasets that the present transaction has indexed before a hold began.

    A hook that CKAN calls while it makes the document may begin the hold. And CKAN
    2.11 indexes at the release of a caller's savepoint.
    """
    return session.info.pop(_EARLY, set())


def repair(package_ids: Iterable[str]) -> None:
    """Make the search index agree with the database for these datasets."""
    for package_id in package_ids:
        try:
            reindex(package_id)
        except Exception:
            log.exception(
                "Solr may have a change of dataset %s that was not committed. %s",
                package_id,
                _advice(package_id),
            )


def _in_front(front: type, current: type) -> type:
    """Put a class in front of the current one, which another extension may have set."""
    return current if issubclass(current, front) else type(front.__name__, (front, current), {})


class _DeferringQuery(PackageSearchQuery):
    """In front of CKAN's query class. Without a hold it changes nothing."""

    def get_index(self, reference: str) -> dict[str, Any]:
        session = model.Session()
        if _DEFERRING in session.info or has_writes(session, or_begun=True):
            raise search.SearchError("The search index waits for the commit")
        return super().get_index(reference)


class _DeferringIndex(PackageSearchIndex):
    """In front of CKAN's index class. Without a hold it changes nothing."""

    def index_package(self, pkg_dict: dict[str, Any] | None, defer_commit: bool = False) -> None:
        write = super().index_package
        if pkg_dict and _is_deferring():
            # the caller goes on to use its dict, and passes it to the tasks
            document = _copy(pkg_dict)
            # without defer_commit: the commit of Solr for which it would wait comes too early
            _add_write(document["id"], lambda: write(document))
        else:
            if pkg_dict:
                _note_early(pkg_dict["id"])
            write(pkg_dict, defer_commit)

    def delete_package(self, pkg_dict: dict[str, Any]) -> None:
        write = super().delete_package
        if _is_deferring():
            reference = dict(pkg_dict)
            _add_write(reference["id"], lambda: write(reference))
        else:
            _note_early(pkg_dict["id"])
            write(pkg_dict)


def _copy(value: Any) -> Any:
    """Copy what CKAN and its plugins change in place; ``deepcopy`` takes three times as long."""
    if isinstance(value, dict):
        return {k: _copy(v) if isinstance(v, (dict, list)) else v for k, v in value.items()}
    if isinstance(value, list):
        return [_copy(v) if isinstance(v, (dict, list)) else v for v in value]
    return value


def _is_deferring() -> bool:
    session = model.Session()
    if _WRITING in session.info:
        return False
    transaction = session.info.get(_DEFERRING_IN)  # may have ended
    is_here = transaction is not None and transaction is session.get_transaction()
    return is_here or _DEFERRING in session.info or has_writes(session)


def _add_write(package_id: str, run: Callable[[], Any]) -> None:
    def write() -> None:
        with _writing(model.Session()):
            run()

    entry = Write(run=write, repair=lambda: repair([package_id]))
    journal_of(model.Session()).add_write(package_id, entry)


def _note_early(package_id: str) -> None:
    session = model.Session()
    if _WRITING not in session.info:
        session.info.setdefault(_EARLY, set()).add(package_id)


@event.listens_for(model.Session, "after_transaction_end")
def _forget_early(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        take_early(session)


@contextmanager
def _writing(session: Session) -> Iterator[None]:
    """Let CKAN's own code write: ``index_package`` may call ``delete_package``."""
    session.info[_WRITING] = True
    try:
        yield
    finally:
        session.info.pop(_WRITING, None)


def _advice(package_id: str) -> str:
    if index_intents.are_possible():
        return (
            "A worker repairs that, or the next action with a queued task. "
            "To do it now: ckan files repair-index"
        )
    return (
        f"Repair that with: ckan search-index rebuild {package_id}; or, if there is no such "
        f"dataset, with: ckan search-index clear {package_id}"
    )
