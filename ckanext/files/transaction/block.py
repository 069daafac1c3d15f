"""Blocks of code that share one commit, nested as the code is."""

from __future__ import annotations

import threading
from types import TracebackType

from ckan.model import meta
from sqlalchemy.orm import SessionTransaction

from . import commit_requests, search_index
from .hold import Hold, open_savepoints
from .journal import Callback, is_committing, journal_of


class _Stack(threading.local):
    """The blocks that this thread (or greenlet) is in.

    Not a context variable: a copied context would carry the block into other
    threads, which have sessions and connections of their own.
    """

    innermost: Block | None = None


_stack = _Stack()


class Block:
    """Code whose changes become true in one commit, once something holds it.

    Without :meth:`hold` a block does nothing. With it, commits are kept back
    until the outermost block ends; then there is one real COMMIT, provided
    that code in the block has committed or has called :meth:`require_commit`.
    An exception that leaves the outermost block undoes everything, one that
    leaves an inner block undoes what that block has done since its start, or
    since the hold began.

    :param eager: hold from the start. For code that commits before it asks for
        the hold.
    :param commit: False if the block must leave the commit to its caller, who
        has passed ``defer_commit``.
    """

    __slots__ = ("_asked", "_commit", "_eager", "_hold", "_parent", "_savepoints")

    def __init__(self, *, eager: bool = False, commit: bool = True) -> None:
        self._eager = eager
        self._commit = commit
        self._parent: Block | None = None
        self._hold: Hold | None = None
        self._asked = False
        self._savepoints: list[SessionTransaction] = []

    def __enter__(self) -> Block:
        self._parent = parent = _stack.innermost
        if parent is not None and (hold := parent._hold) is not None:  # noqa: SLF001
            hold.enter()
            self._hold = hold
        else:
            self._savepoints = open_savepoints(meta.Session())
            search_index.stand_in_front()
        if self._eager:
            self.hold()
        _stack.innermost = self
        return self

    def hold(self) -> Hold:
        """Keep back the commits of this thread's session from now on."""
        if self._hold is None:
            session = meta.Session()
            if self._parent is None:
                self._hold = Hold(session, next(iter(self._savepoints), None))
            else:
                # those that other code has opened within this block, before any of ours
                since = [s for s in open_savepoints(session) if s not in self._savepoints]
                hold = self._parent.hold()
                hold.enter(since[-1] if since else None)  # it flushes, which may fail
                self._hold = hold
        return self._hold

    def require_commit(self) -> None:
        """Hold, and let the block commit at its end also if its code never does.

        While a commit is under way it is too late to hold: that commit is the one.
        """
        if not is_committing(meta.Session()):
            self.hold()
        self._asked = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _stack.innermost = self._parent
        hold = self._hold
        if hold is None:
            if error is None and self._asked and self._commit:
                self._commit_rest()
        elif error is not None:
            hold.roll_back() if self._parent is None else hold.undo(error)
        elif self._parent is None:
            hold.finish(commit=self._commit, asked=self._asked)
        else:
            hold.leave(commit=self._commit, asked=self._asked)
            self._parent._asked |= self._asked and self._commit  # noqa: SLF001

    @staticmethod
    def _commit_rest() -> None:
        """Commit what was asked for while a savepoint was released, if no commit came since."""
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
    the call. What must not be lost belongs into a background task.

    :param callback: called without arguments, in the thread that committed,
        outside of any action; its result is ignored.
    :raises TypeError: it is no callable.
    """
    if not callable(callback):
        raise TypeError(f"A callback is called without arguments; {callback!r} is no callable")
    require_commit(f"The callback {callback!r}")
    after_commit(callback)


def after_commit(callback: Callback) -> None:
    """As :func:`on_commit`, but for what only follows a commit: it asks for none.

    Where no commit comes there is nothing to be called for, and nothing is lost.
    """
    journal_of(meta.Session()).callbacks.append(callback)


def require_commit(what: str, package: str = __package__ or "") -> None:
    """Say that something is lost unless the present change is committed.

    A block commits at its end then. Outside of one the session's user has to
    commit; if the session ends without, the log says what was lost, and which
    line of code asked for it.

    :param what: what is lost, such as ``The job of task 'greet'``.
    :param package: the package that passes the request on from the code that asks.
    """
    block = current_block()
    if block is not None:
        block.require_commit()
    session = meta.Session()
    request = commit_requests.remember(session, what, {package, __package__ or ""})
    journal_of(session).requests.append(request)


def on_rollback(callback: Callback) -> None:
    """Call something if the present change of the database is rolled back.

    For what PostgreSQL cannot undo, such as a file that was stored. It runs
    while the session ends its transaction or savepoint, so it must not use
    that session. An exception in it is logged. When the connection is lost
    during COMMIT, an action that carries a task queue finds out what became of
    the change, and makes no call if it cannot. Elsewhere the callback runs in
    any case, and has to find that out by itself. A process that is killed does
    not make the call.

    :param callback: called without arguments, in the thread whose session it is.
    """
    journal_of(meta.Session()).undoing.append(callback)
