"""What waits for the commit of a session.

Entries belong to the transaction or savepoint in which they were made: they
move to the parent when a savepoint is released and vanish with a rollback, as
the rows do that were written beside them. When the outermost transaction
commits, the writes run right before the COMMIT and the callbacks right after it.
Rollback callbacks run right after a rollback.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from ckan.model import meta
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from . import commit_requests, index_intents
from .commit_requests import CommitRequest
from .index_repair import repair_next

log = logging.getLogger(__name__)

Callback = Callable[[], Any]

_KEY = "ckanext.files.journals"
_COMMITTING = "ckanext.files.committing"


@dataclasses.dataclass(frozen=True)
class Write:
    """A change of a dataset's document in the search index."""

    run: Callback
    """Makes the change; an exception makes the commit fail."""

    repair: Callback
    """Makes the document agree with the database again when the commit has failed."""


@dataclasses.dataclass
class Journal:
    """What waits for the end of one transaction or savepoint."""

    callbacks: list[Callback] = dataclasses.field(default_factory=list)
    """To be called after the real commit, in this order."""

    requests: list[CommitRequest] = dataclasses.field(default_factory=list)
    """See :mod:`.commit_requests`."""

    rollback_callbacks: list[Callback] = dataclasses.field(default_factory=list)
    """To be called after a rollback, the last one first."""

    writes: dict[str, Write] = dataclasses.field(default_factory=dict)
    """To run right before the real commit: the last one of each dataset, by the dataset's id."""

    written: dict[str, Write] = dataclasses.field(default_factory=dict)
    """The writes that have begun."""

    changes: list[dict[str, set[Any]]] = dataclasses.field(default_factory=list)
    """CKAN's ``session._object_cache`` of each commit that was held back."""

    committed: bool = False
    started: bool = False
    """The writes have begun: later ones run at once."""

    with_intent: set[str] = dataclasses.field(default_factory=set)
    """Datasets for which an intent was written."""

    def add_write(self, package_id: str, write: Write) -> None:
        """Remember a write instead of an earlier one of the same dataset."""
        self._put(package_id, write)
        if self.started:
            self.write()

    def write_intents(self, package_ids: Iterable[str]) -> int | None:
        """Write the intents of writes, for the case that this process is killed after them.

        To be called where no savepoint is open that may be rolled back before the commit.

        :returns: the id of the transaction, if new intents were written.
        """
        new = [package_id for package_id in package_ids if package_id not in self.with_intent]
        if not new:
            return None
        self.with_intent.update(new)
        written = index_intents.write(meta.Session(), new)
        if written.overdue:
            self.callbacks.append(repair_next)
        return written.transaction_id

    def write(self) -> None:
        """Run all writes that have not begun."""
        self.started = True
        self.write_intents(self.writes)
        while self.writes:
            package_id = next(iter(self.writes))
            self.written[package_id] = write = self.writes.pop(package_id)
            write.run()

    def repair(self) -> None:
        """Undo in the search index what the writes have changed."""
        for write in self.written.values():
            write.repair()

    def absorb(self, released: Journal) -> None:
        """Take over the entries of a released savepoint."""
        self.callbacks += released.callbacks
        self.requests += released.requests
        self.rollback_callbacks += released.rollback_callbacks
        self.changes += released.changes
        self.with_intent |= released.with_intent
        for package_id, write in released.written.items():
            self.writes.pop(package_id, None)  # an older write of the dataset
            self.written[package_id] = write
        for package_id, write in released.writes.items():
            self._put(package_id, write)

    def _put(self, package_id: str, write: Write) -> None:
        self.writes.pop(package_id, None)  # the last one comes last
        self.writes[package_id] = write


def journal_of(session: Session) -> Journal:
    """Return the journal of the innermost transaction, begun if there is none."""
    innermost = session.get_nested_transaction() or session.get_transaction() or session.begin()
    return session.info.setdefault(_KEY, {}).setdefault(innermost, Journal())


def has_writes(session: Session, or_begun: bool = False) -> bool:
    """Return whether writes wait for the session's commit.

    :param or_begun: count also the writes of a commit that is under way.
    """
    journals: dict[SessionTransaction, Journal] = session.info.get(_KEY) or {}
    return any(j.writes or (or_begun and j.written) for j in journals.values())


def is_committing(session: Session) -> bool:
    """Return whether a commit of the session, or the release of a savepoint, is under way.

    Hooks of plugins run in it. What they write is part of the commit, but
    savepoints cannot be opened. SQLAlchemy announces no end of a commit that
    an error of a hook has ended, so this looks for the committing frame on the stack.
    """
    committing = set(session.info.get(_COMMITTING, {}).values())
    frame = sys._getframe() if committing else None  # noqa: SLF001 - there is no other way
    while frame is not None and frame not in committing:
        frame = frame.f_back
    return frame is not None


def set_changes_aside(session: Session) -> None:
    """Move the objects that CKAN has collected into the journal, beside the rows' other entries.

    CKAN collects changed objects in ``session._object_cache`` and passes them to
    its plugins at each commit. But SQLAlchemy announces each released savepoint
    as a commit, and CKAN forgets all objects when any savepoint is rolled back.
    """
    session.flush()
    changes: dict[str, set[Any]] | None = session.__dict__.pop("_object_cache", None)
    if changes and any(changes.values()):
        journal_of(session).changes.append(changes)


def restore_changes(session: Session) -> None:
    """Give CKAN the objects back, for the real commit."""
    changes = journal_of(session).changes if session.in_transaction() else []
    if changes:
        session.__dict__["_object_cache"] = {
            "deleted": {o for some in changes for o in some["deleted"]},
            "changed": _in_session(session, (o for some in changes for o in some["changed"])),
            "new": _in_session(session, (o for some in changes for o in some["new"])),
        }
        changes.clear()


def _in_session(session: Session, objects: Iterable[Any]) -> set[Any]:
    """Return the objects; the session's own ones in place of those that were expunged."""
    found = {o if o in session else session.get(type(o), sa.inspect(o).identity) for o in objects}
    return found - {None}


def run_callbacks(callbacks: Iterable[Callback]) -> None:
    """Call each; the failure of one stops none of the others.

    The commit has happened and no exception can undo it, so exceptions are logged.
    """
    for callback in callbacks:
        try:
            callback()
        except Exception:
            log.exception("A callback of on_commit failed after the commit: %r", callback)
            # the next commit of this thread must not include what the callback left half done
            meta.Session.rollback()


def run_rollback_callbacks(callbacks: Iterable[Callback]) -> None:
    """Call each, the last one first; they undo what a rollback of the database does not."""
    for callback in reversed(list(callbacks)):
        try:
            callback()
        except Exception:
            log.exception("A callback of on_rollback failed: %r", callback)


# The listeners are added at import, as CKAN's own are: SQLAlchemy cannot add a
# listener while another thread commits.


@event.listens_for(meta.Session, "before_commit", insert=True)  # before CKAN's
def _begin_commit(session: Session) -> None:
    innermost = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(_COMMITTING, {})[innermost] = _committing_frame()


def _committing_frame() -> Any:
    """Return the outermost frame of SQLAlchemy that has called this module."""
    frame: Any = sys._getframe(1)  # noqa: SLF001
    while frame.f_back.f_globals.get("__name__", "").startswith("sqlalchemy."):
        frame = frame.f_back
    return frame


@event.listens_for(meta.Session, "before_commit")
def _before_commit(session: Session) -> None:
    # SQLAlchemy announces released savepoints as well
    if session.info.get(_KEY) and session.get_nested_transaction() is None:
        journal_of(session).write()


@event.listens_for(meta.Session, "after_commit")
def _after_commit(session: Session) -> None:
    # also when nothing waits yet: listeners after this one may still add entries
    journal_of(session).committed = True


@event.listens_for(meta.Session, "after_rollback")
def _after_rollback(session: Session) -> None:
    # the code that rolls back knows that its requests come to nothing
    if session.info.get(_KEY):
        commit_requests.settle(session, journal_of(session).requests)


@event.listens_for(meta.Session, "after_transaction_end")
def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    session.info.get(_COMMITTING, {}).pop(transaction, None)
    journals: dict[SessionTransaction, Journal] = session.info.get(_KEY) or {}
    journal = journals.pop(transaction, None)
    if journal is None:
        return
    parent = transaction.parent
    while parent is not None and parent.parent is not None and not parent.nested:
        parent = parent.parent
    if not journal.committed:
        _drop(session, journal, parent)
    elif parent is None:
        commit_requests.settle(session, journal.requests)
        run_callbacks(journal.callbacks)
    else:
        journals.setdefault(parent, Journal()).absorb(journal)


def _drop(session: Session, journal: Journal, parent: SessionTransaction | None) -> None:
    """Forget what waited for a transaction or savepoint that did not commit."""
    if parent is None:
        commit_requests.report(session, journal.requests)
    elif journal.requests:
        # it is not known yet whether the parent is rolled back or just closed
        journals: dict[SessionTransaction, Journal] = session.info[_KEY]
        journals.setdefault(parent, Journal()).requests += journal.requests
    run_rollback_callbacks(journal.rollback_callbacks)
