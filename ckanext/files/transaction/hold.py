"""The hold: one real COMMIT for all that a thread's session does in a block.

While it lasts, :mod:`.session` makes savepoints of the session's commits, and
:mod:`.search_index` defers what they would write into Solr. At its end the hold
writes into Solr, commits, and calls the callbacks of ``on_commit``.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.files.errors import CommitUnknownError

from . import commit_requests, search_index
from .journal import (
    Callback,
    Journal,
    journal_of,
    restore_changes,
    run_callbacks,
    run_rollback_callbacks,
    set_changes_aside,
)
from .outcome import has_committed
from .savepoints import Savepoints
from .session import install, uninstall

log = logging.getLogger(__name__)

_TRANSACTION_ID = sa.text("SELECT txid_current_if_assigned()")


class Hold:
    """Holds back the commits of one session until it finishes or rolls back.

    :param caller: the savepoint that the caller of the outermost block had
        open, if any.
    """

    def __init__(self, session: Session, caller: SessionTransaction | None) -> None:
        self._session = session
        self._callbacks: list[Callback] = []
        self.savepoints = Savepoints(session, caller)
        self.transaction_id: int | None = None
        """Result of ``txid_current()``, if the code in the block knows it: this saves a query."""
        search_index.defer(session)
        install(session, self.savepoints)

    def finish(self, *, commit: bool, commit_required: bool) -> None:
        """End the hold: the one real commit, if code in it has committed or needs one.

        Without a commit, the transaction and all that waits for its commit belong to the
        caller. When the commit fails nothing stays.

        :param commit: False leaves the commit to the caller in any case.
        :param commit_required: something in the hold needs the commit.
        :raises InnerFailureError: see :meth:`.Savepoints.undo`.
        """
        savepoints = self.savepoints
        may_commit = commit and not savepoints.caller_commits
        try:
            savepoints.check_failure()
            savepoints.release_all()
            if may_commit and (savepoints.is_committed or commit_required):
                self._commit()
            else:
                self._make_session_ordinary()
                search_index.defer_to_next_commit(self._session)
        except BaseException:
            self.roll_back()
            raise
        finally:
            search_index.stop_deferring(self._session)
            run_callbacks(self._callbacks)

    def roll_back(self) -> None:
        """End the hold after a failure: nothing stays, and the session is usable."""
        session = self._session
        uninstall(session)
        search_index.stop_deferring(session)
        indexed = search_index.take_early(session)
        commit_requests.settle_all(session)  # the caller gets an error
        try:
            while session.in_transaction():
                session.rollback()
        except SQLAlchemyError as error:
            # one line is enough: the caller gets the error of the lost connection
            reason, _, _ = str(error).partition("\n")
            log.warning("A transaction was not rolled back, its connection is dropped: %s", reason)
            session.invalidate()
        session.__dict__.pop("_object_cache", None)
        search_index.repair(indexed)

    def _commit(self) -> None:
        session = self._session
        session.flush()
        journal, callbacks = journal_of(session), []
        learned = journal.write_intents(journal.writes)
        transaction_id = self.transaction_id or learned or session.execute(_TRANSACTION_ID).scalar()
        try:
            if journal.writes:
                # still held: plugins that change a search document may use the session
                self.savepoints.open_for_index()
                journal.write()
            self._make_session_ordinary()
            callbacks, journal.callbacks = journal.callbacks, []
            session.commit()
        except BaseException as error:
            # nothing is undone before the outcome of the COMMIT is known
            rollback_callbacks, journal.rollback_callbacks = journal.rollback_callbacks, []
            self.roll_back()
            if not self._has_committed(transaction_id, journal):
                run_rollback_callbacks(rollback_callbacks)
                journal.repair()
                raise
            self._callbacks = callbacks
            if not getattr(error, "connection_invalidated", False):
                raise  # a listener has failed after the commit: the caller has to know
        self._callbacks = callbacks

    def _make_session_ordinary(self) -> None:
        """Give the session its own behaviour back, still in its transaction."""
        self.savepoints.release_all()
        set_changes_aside(self._session)
        uninstall(self._session)
        restore_changes(self._session)

    def _has_committed(self, transaction_id: int | None, journal: Journal) -> bool:
        try:
            return has_committed(self._session.get_bind().engine, transaction_id)
        except CommitUnknownError:
            log.error("The search index may not agree with the database: %s", list(journal.written))
            raise
