"""The hold: one real COMMIT for all that a thread's session does in a block.

While it lasts, a commit is a savepoint (*saved*), opened anew at each commit.
Each block within the outermost one has a savepoint of its own at its start, to
which a failure of that block returns. Savepoints of other code stack on top of
ours and are left alone.

PostgreSQL nests savepoints strictly. When the hold begins within a savepoint of
other code, the blocks that were there before that savepoint (*late* ones) get
none: it would stand above the foreign one, and vanish with it. A late block that
fails is undone by the foreign savepoint, if that is open or was rolled back.
Otherwise nothing can undo the block alone, and the blocks around it fail too.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ckan.model import meta
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.files import capabilities
from ckanext.files.errors import CommitUnknownError, InnerFailureError

from . import commit_requests, search_index
from .journal import Callback, Journal, journal_of, run_callbacks, run_undoing
from .outcome import has_committed
from .session import HeldSession, put_in_front, take_away

log = logging.getLogger(__name__)


_TRANSACTION_ID = sa.text("SELECT txid_current_if_assigned()")


@dataclasses.dataclass
class _Level:
    """The savepoints of one block."""

    start: SessionTransaction | None = None
    """Opened with the block; None for the outermost and for a late one."""

    saved: SessionTransaction | None = None
    """Opened by the last commit or mark."""

    foreign: SessionTransaction | None = None
    """Of a late block: the outermost savepoint that other code has opened within it."""

    committed: bool = False
    """Code in the block has committed."""

    @property
    def floor(self) -> SessionTransaction | None:
        """The savepoint to which a rollback in the block returns."""
        return self.saved or self.start


class Hold:
    """Holds back the commits of one session until it finishes or rolls back."""

    def __init__(self, session: Session, caller: SessionTransaction | None) -> None:
        """Begin.

        :param caller: the savepoint that the caller of the outermost block had
            open, if any.
        """
        self.session = session
        self._caller = caller
        self._levels = [_Level()]
        self._undone: BaseException | None = None
        self._due: list[Callback] = []
        self.transaction_id: int | None = None
        """For those who happen to know ``txid_current()``: it saves a question."""
        search_index.keep_back(session)
        put_in_front(session, self)

    @property
    def floor(self) -> SessionTransaction | None:
        """The savepoint to which a rollback returns; None before any commit."""
        return next((level.floor for level in reversed(self._levels) if level.floor), None)

    @property
    def callbacks(self) -> list[Callback]:
        """What is to be called right after the commit, as far as it will come of that."""
        return journal_of(self.session).callbacks

    def save(self) -> None:
        """Commit, as far as anybody in the block can tell."""
        self._release(self.floor or self._caller)
        self._levels[-1].committed = True
        self.mark()

    def ask(self) -> None:
        """Commit with the last statements of a block: a rollback after this undoes the whole block.

        SQLAlchemy sends a savepoint to the server when it is used first, so that of a
        commit right before this is never sent.
        """
        level = self._levels[-1]
        self._release(level.start or self._caller)
        level.saved = None
        level.committed = True

    def mark(self) -> None:
        """Open a savepoint for rollbacks to return to, in place of the last one.

        Releasing the last one keeps a thousand commits at one savepoint.
        """
        level = self._levels[-1]
        if level.saved:
            level.saved.commit()
        level.saved = self._open()

    def go_back(self) -> None:
        """Undo what was done since the last commit, or since the block began."""
        level = next(level for level in reversed(self._levels) if level.floor)
        if level.saved:
            self._roll_back(level.saved)
            level.saved = self._open()
        elif level.start:
            self._roll_back(level.start)
            level.start = self._open()

    def enter(self, foreign: SessionTransaction | None = None) -> None:
        """Begin a block within the hold.

        :param foreign: the outermost savepoint that other code has opened since
            the block began, if that was before the hold.
        """
        self._levels.append(_Level(foreign=foreign) if foreign else _Level(start=self._open()))

    def leave(self, *, commit: bool, asked: bool) -> None:
        """End a block well. If it commits, so does what is around it.

        :param commit: False leaves the commit to the code around the block.
        :param asked: something in the block needs a commit. Unlike a commit of the
            block's own code, this ends no savepoint of the code around it.
        :raises InnerFailureError: see :meth:`undo`.
        """
        level = self._levels.pop()
        savepoint = level.start or level.saved
        if savepoint and self._undone:
            self._roll_back(savepoint)
        self._check_undone()
        if savepoint:
            savepoint.commit()
        alone = self.session.get_nested_transaction() is (self.floor or self._caller)
        if commit and (level.committed or (asked and alone)):
            self.save()

    def undo(self, error: BaseException) -> None:
        """End a block that failed: nothing of it stays.

        What a late block has done is undone with the foreign savepoint that it
        began to hold in. If that was released, only the whole hold can be undone.
        """
        level = self._levels.pop()
        if level.start:
            self._roll_back(level.start)
        elif level.foreign in open_savepoints(self.session):
            assert level.foreign
            self._roll_back(level.foreign)
        else:
            self._undone = error

    def begin_again(self, savepoint: SessionTransaction | None = None) -> None:
        """Open the savepoints of blocks anew, after all was undone that they have done in the hold.

        :param savepoint: the foreign one that was rolled back, for the late blocks
            that it has undone; None for the whole transaction and all blocks.
        """
        for level in self._levels[1:]:
            if savepoint is None or (level.foreign is savepoint and not level.floor):
                level.start, level.saved, level.foreign = self._open(), None, None

    def finish(self, *, commit: bool, asked: bool) -> None:
        """End the hold: the one real commit, if code in it has committed or needs one.

        Without one, the transaction and all that waits for its commit are the
        caller's. When the commit fails nothing stays.

        :param commit: False leaves the commit to the caller in any case.
        :param asked: something needs the commit.
        :raises InnerFailureError: see :meth:`undo`.
        """
        # on SQLAlchemy 1.4 a caller who has a savepoint open keeps the commit
        ours = not self._caller or capabilities.commit_reaches_root(self.session)
        try:
            self._check_undone()
            self._release(self._caller)
            if commit and ours and (self._levels[0].committed or asked):
                self._commit()
            else:
                self._let_go()
                search_index.leave(self.session)
        except BaseException:
            self.roll_back()
            raise
        finally:
            search_index.let_through(self.session)
            run_callbacks(self._due)

    def roll_back(self) -> None:
        """End the hold after a failure: nothing stays, and the session is usable."""
        session = self.session
        take_away(session)
        search_index.let_through(session)
        indexed = search_index.take_early(session)
        commit_requests.settle_all(session)  # the caller gets an error
        try:
            while session.in_transaction():
                session.rollback()
        except SQLAlchemyError as error:
            # in one line: the connection is lost, of which the caller gets an error
            reason, _, _ = str(error).partition("\n")
            log.warning("A transaction was not rolled back, its connection is dropped: %s", reason)
            session.invalidate()
        session.__dict__.pop("_object_cache", None)
        search_index.repair(indexed)

    def keep_changes(self) -> None:
        """Put the objects that CKAN has collected aside, to share the fate of their rows.

        CKAN collects changed objects in ``session._object_cache`` and tells
        its plugins of them at each commit, but SQLAlchemy announces each
        released savepoint as a commit; and CKAN forgets all of them when any
        savepoint is rolled back.
        """
        self.session.flush()
        changes: dict[str, set[Any]] | None = self.session.__dict__.pop("_object_cache", None)
        if changes and any(changes.values()):
            journal_of(self.session).changes.append(changes)

    def _put_changes_back(self) -> None:
        """Let CKAN tell of them at the real commit."""
        session = self.session
        changes = journal_of(session).changes if session.in_transaction() else []
        if changes:
            session.__dict__["_object_cache"] = {
                "deleted": {o for some in changes for o in some["deleted"]},
                "changed": _in_session(session, (o for some in changes for o in some["changed"])),
                "new": _in_session(session, (o for some in changes for o in some["new"])),
            }
            changes.clear()

    def _check_undone(self) -> None:
        if self._undone is not None:
            raise InnerFailureError from self._undone

    def _open(self) -> SessionTransaction:
        """Open a savepoint of ours.

        Also within ``with session.begin_nested():``, whose savepoint a commit has ended: where
        SQLAlchemy sees to it that nothing follows but the end of the ``with``.
        """
        session, private = self.session, "_trans_context_manager"  # in SQLAlchemy 1.4 and 2.0
        context = getattr(session, private)
        setattr(session, private, None)
        try:
            return session.begin_nested()
        finally:
            setattr(session, private, context)

    def _release(self, downto: SessionTransaction | None) -> None:
        """Release all savepoints above one of them."""
        nested = self.session.get_nested_transaction()
        while nested is not None and nested is not downto:
            nested.commit()
            nested = self.session.get_nested_transaction()

    def _roll_back(self, savepoint: SessionTransaction) -> None:
        """Roll back a savepoint, after all above it: SQLAlchemy 1.4 warns of any other order."""
        nested = self.session.get_nested_transaction()
        while nested is not None and nested is not savepoint:
            nested.rollback()
            nested = self.session.get_nested_transaction()
        savepoint.rollback()

    def _commit(self) -> None:
        session = self.session
        session.flush()
        transaction_id = self.transaction_id or session.execute(_TRANSACTION_ID).scalar()
        journal, callbacks = journal_of(session), []
        try:
            if journal.writes:
                journal.announce(journal.writes)
                # still held: plugins that have a say in a search document may use the session
                self._levels[0].saved = self._open()
                journal.write()
            self._let_go()
            callbacks, journal.callbacks = journal.callbacks, []
            session.commit()
        except BaseException as error:
            # nothing is undone before it is known that there is something to undo
            undoing, journal.undoing = journal.undoing, []
            self.roll_back()
            if not self._has_committed(transaction_id, journal):
                run_undoing(undoing)
                journal.repair()
                raise
            self._due = callbacks
            if not getattr(error, "connection_invalidated", False):
                raise  # a listener has failed after the commit: that is news for the caller
        self._due = callbacks

    def _let_go(self) -> None:
        """Make the session an ordinary one again, still in its transaction."""
        self._release(self._caller)
        self.keep_changes()
        take_away(self.session)
        self._put_changes_back()

    def _has_committed(self, transaction_id: int | None, journal: Journal) -> bool:
        try:
            return has_committed(self.session.get_bind().engine, transaction_id)
        except CommitUnknownError:
            log.error("The search index may not agree with the database: %s", list(journal.written))
            raise


def open_savepoints(session: Session) -> list[SessionTransaction]:
    """Return the savepoints that are open, the innermost first."""
    found: list[SessionTransaction] = []
    transaction = session.get_nested_transaction()
    while transaction is not None:
        if transaction.nested:
            found.append(transaction)
        transaction = transaction.parent
    return found


@event.listens_for(meta.Session, "after_soft_rollback")
def _after_soft_rollback(session: Session, transaction: SessionTransaction) -> None:
    if isinstance(session, HeldSession):
        session.hold.begin_again(transaction if transaction.parent else None)


@event.listens_for(meta.Session, "before_commit", insert=True)  # before CKAN's
def _before_commit(session: Session) -> None:
    if isinstance(session, HeldSession):
        session.hold.keep_changes()


def _in_session(session: Session, objects: Iterable[Any]) -> set[Any]:
    """Return the objects, those that were expunged meanwhile by what the session has for them."""
    found = {o if o in session else session.get(type(o), sa.inspect(o).identity) for o in objects}
    return found - {None}
