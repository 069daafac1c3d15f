"""Blocks of code that share one commit, nested as the code is."""

from __future__ import annotations

import threading
from types import TracebackType

from ckan.model import meta
from sqlalchemy.orm import SessionTransaction

from . import commit_requests, search_index
from .hold import Hold
from .journal import Callback, is_committing, journal_of
from .savepoints import open_savepoints


class _Stack(threading.local):
    """The blocks that this thread (or greenlet) is in.

    Not a context variable: a copied context would carry the block into other
    threads, which have sessions and connections of their own.
    """

    innermost: Block | None = None


_stack = _Stack()


class Block:
    """Code whose changes become true in one commit, once something holds it.

    Without :meth:`hold` a block does nothing. With it, commits are held back
    until the outermost block ends; then there is one real COMMIT, provided
    that code in the block has committed or has called :meth:`require_commit`.
    An exception that leaves the outermost block undoes everything. An exception
    that leaves an inner block undoes what that block has done since its start, or
    since the hold began.

    :param eager: hold from the start. For code that commits before it asks for
        the hold.
    :param commit: False if the block must leave the commit to its caller, who
        has passed ``defer_commit``.
    """

    __slots__ = ("_commit", "_commit_required", "_eager", "_hold", "_older_savepoints", "_parent")

    def __init__(self, *, eager: bool = False, commit: bool = True) -> None:
        self._eager = eager
        self._commit = commit
        self._commit_required = False
        self._parent: Block | None = None
        self._hold: Hold | None = None
        self._older_savepoints: list[SessionTransaction] = []

    def __enter__(self) -> Block:
        self._parent = parent = _stack.innermost
        if parent is not None and (hold := parent._hold) is not None:  # noqa: SLF001
            hold.savepoints.enter()
            self._hold = hold
        else:
            self._older_savepoints = open_savepoints(meta.Session())
            search_index.install()
        if self._eager:
            self.hold()
        _stack.innermost = self
        return self

    def hold(self) -> None:
        """Hold back the commits of this thread's session from now on."""
        self._begin_hold()

    def require_commit(self) -> None:
        """Hold, and commit at the end of the block also if its code never does.

        While a commit is under way no hold can begin: that commit is the one.
        """
        if not is_committing(meta.Session()):
            self.hold()
        self._commit_required = True

    def mark(self) -> None:
        """Hold, and let later rollbacks return to this point at most."""
        self._begin_hold().savepoints.mark()

    def commit_with_last_statement(self) -> None:
        """Hold, and commit with the statement that follows, the last one of the block.

        A rollback after this undoes the whole block.
        """
        self._begin_hold().savepoints.commit_with_last_statement()

    def set_transaction_id(self, transaction_id: int) -> None:
        """Pass on the result of ``txid_current()``: this saves the hold a query."""
        self._begin_hold().transaction_id = transaction_id

    @property
    def callbacks(self) -> list[Callback]:
        """The callbacks of :func:`on_commit` that wait for the commit of the block, in order."""
        return journal_of(meta.Session()).callbacks

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _stack.innermost = self._parent
        hold, commit, required = self._hold, self._commit, self._commit_required
        if hold is None:
            if error is None and required and commit:
                self._commit_rest()
        elif error is not None:
            hold.roll_back() if self._parent is None else hold.savepoints.undo(error)
        elif self._parent is None:
            hold.finish(commit=commit, commit_required=required)
        else:
            hold.savepoints.leave(commit=commit, commit_required=required)
            self._parent._commit_required |= required and commit  # noqa: SLF001

    def _begin_hold(self) -> Hold:
        if self._hold is None:
            session = meta.Session()
            if self._parent is None:
                self._hold = Hold(session, next(iter(self._older_savepoints), None))
            else:
                # opened by other code within this block, before any of ours
                older = self._older_savepoints
                foreign = [s for s in open_savepoints(session) if s not in older]
                hold = self._parent._begin_hold()  # noqa: SLF001
                hold.savepoints.enter(foreign[-1] if foreign else None)  # may fail: it flushes
                self._hold = hold
        return self._hold

    @staticmethod
    def _commit_rest() -> None:
        """Commit what was requested while a savepoint was released, if no commit came since."""
        session = meta.Session()
        if commit_requests.are_open(session):
            session.commit()


def current_block() -> Block | None:
    """Return the innermost block that this thread is in."""
    return _stack.innermost


def on_commit(callback: Callback) -> None:
    """Call something once, right after the commit that makes the present change true.

    Within an action that carries a task queue that is the one commit of the
    outermost such action; elsewhere it is the next commit of
    ``ckan.model.Session`` in this thread. Callbacks run in the order in which
    they were given. A rollback of the change drops them. An exception in one
    is logged and stops none of the others: the commit has happened.

    A process that is killed between the commit and the callback does not make
    the call. Use a background task for what must not be lost.

    :param callback: called without arguments, in the thread that committed,
        outside of any action; its result is ignored.
    :raises TypeError: it is no callable.
    """
    if not callable(callback):
        raise TypeError(f"A callback is called without arguments; {callback!r} is no callable")
    request_commit(f"The callback {callback!r}")
    after_commit(callback)


def after_commit(callback: Callback) -> None:
    """Call something once after the commit, as :func:`on_commit` does, but request no commit.

    Without a commit there is nothing to follow, and nothing is lost.
    """
    journal_of(meta.Session()).callbacks.append(callback)


def request_commit(what: str, *packages: str) -> None:
    """Request a commit of the present change, without which something is lost.

    The innermost block commits at its end then. Outside of a block the caller has to
    commit. If the session ends without a commit, the log names what was lost and the
    line of code that asked for it.

    :param what: what is lost, such as ``The job of task 'greet'``.
    :param packages: packages that pass the request on; the log names their caller.
    """
    block = current_block()
    if block is not None:
        block.require_commit()
    session = meta.Session()
    request = commit_requests.remember(session, what, {*packages, __package__ or ""})
    journal_of(session).requests.append(request)


def on_rollback(callback: Callback) -> None:
    """Call something if the present change of the database is rolled back.

    For what PostgreSQL cannot undo, such as a file that was stored. The callback
    runs while the session ends its transaction or savepoint, so it must not use
    that session. An exception in it is logged. When the connection is lost
    during COMMIT, an action that carries a task queue asks PostgreSQL for the
    outcome, and makes no call if it gets no answer. Elsewhere the callback runs
    in any case, and has to ask by itself. A process that is killed does not make
    the call.

    :param callback: called without arguments, in the thread whose session it is.
    """
    journal_of(meta.Session()).rollback_callbacks.append(callback)
