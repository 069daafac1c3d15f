"""Blocks of code that share one commit, nested as the code is."""

from __future__ import annotations

import threading
from types import TracebackType

from ckan.model import meta
from sqlalchemy.orm import SessionTransaction

from .hold import Hold
from .journal import Callback, journal_of


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
    that somebody in the block has committed. An exception that leaves the
    outermost block undoes everything, one that leaves an inner block undoes
    what that block has done since its start, or since the hold began.

    :param eager: hold from the start. For code that commits before it asks for
        the hold.
    :param commit: False if the outermost block must leave the commit to its
        caller, who has passed ``defer_commit``.
    """

    __slots__ = ("_caller", "_commit", "_eager", "_hold", "_parent")

    def __init__(self, *, eager: bool = False, commit: bool = True) -> None:
        self._eager = eager
        self._commit = commit
        self._parent: Block | None = None
        self._hold: Hold | None = None
        self._caller: SessionTransaction | None = None

    def __enter__(self) -> Block:
        self._parent = parent = _stack.innermost
        if parent is None:
            self._caller = meta.Session().get_nested_transaction()
        elif (hold := parent._hold) is not None:  # noqa: SLF001 - of the same class
            hold.enter()
            self._hold = hold
        if self._eager:
            self.hold()
        _stack.innermost = self
        return self

    def hold(self) -> Hold:
        """Keep back the commits of this thread's session from now on."""
        if self._hold is None:
            if self._parent is None:
                self._hold = Hold(meta.Session(), self._caller)
            else:
                self._hold = self._parent.hold()
                self._hold.enter()
        return self._hold

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _stack.innermost = self._parent
        hold = self._hold
        if hold is None:
            return
        if self._parent is not None:
            hold.leave() if error is None else hold.undo()
        elif error is None:
            hold.finish(commit=self._commit)
        else:
            hold.roll_back()


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
    """
    block = current_block()
    if block is not None:
        block.hold()
    journal_of(meta.Session()).callbacks.append(callback)


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
