"""The savepoints that stand for the commits and the blocks of one held session.

Within a hold a commit is a savepoint (``saved``), which each commit replaces.
Each block within the outermost one opens a savepoint at its start (``start``);
a failure of the block returns to it. Savepoints that other code opens (*foreign*
ones) stack on top of these and are left alone.

PostgreSQL nests savepoints strictly. When the hold begins within a foreign
savepoint, the blocks that are older than that savepoint (*late* blocks) get
none: theirs would stand above the foreign one, and vanish with it. A late block
that fails is undone by the foreign savepoint, if that is open or was rolled
back. Otherwise nothing can undo the block alone, and the blocks around it fail
as well.
"""

from __future__ import annotations

import dataclasses

from sqlalchemy.orm import Session, SessionTransaction

from ckanext.files import capabilities
from ckanext.files.errors import InnerFailureError


@dataclasses.dataclass
class _Level:
    """The savepoints of one block."""

    start: SessionTransaction | None = None
    """Opened with the block; None for the outermost block and for a late one."""

    saved: SessionTransaction | None = None
    """Opened by the last commit or mark."""

    foreign: SessionTransaction | None = None
    """Of a late block: the outermost savepoint that other code has opened within it."""

    committed: bool = False
    """Code in the block has committed."""

    @property
    def rollback_target(self) -> SessionTransaction | None:
        """The savepoint to which a rollback in the block returns."""
        return self.saved or self.start


class Held:
    """Base of a session whose commits are savepoints, see :mod:`.session`."""

    savepoints: Savepoints


class Savepoints:
    """The levels of a hold, one for each block, the outermost first.

    :param caller: the savepoint that the caller of the outermost block had open,
        if any.
    """

    def __init__(self, session: Session, caller: SessionTransaction | None) -> None:
        self.session = session
        self.caller = caller
        self._levels = [_Level()]
        self._failure: BaseException | None = None

    @property
    def rollback_target(self) -> SessionTransaction | None:
        """The savepoint to which a rollback returns; None before any commit."""
        targets = (level.rollback_target for level in reversed(self._levels))
        return next((target for target in targets if target), None)

    @property
    def is_committed(self) -> bool:
        """Whether code of the outermost block has committed."""
        return self._levels[0].committed

    @property
    def caller_commits(self) -> bool:
        """Whether a commit would end no more than the caller's savepoint (SQLAlchemy 1.4)."""
        return self.caller is not None and not capabilities.commit_reaches_root(self.session)

    def commit_to_savepoint(self) -> None:
        """Keep what was done so far: code in the block sees a commit."""
        self._release(self.rollback_target or self.caller)
        self._levels[-1].committed = True
        self.mark()

    def commit_with_last_statement(self) -> None:
        """Commit with the last statement of a block: a rollback after this undoes the block.

        SQLAlchemy sends a savepoint to the server at its first use. So the server never
        gets the savepoint of a commit that comes right before this one.
        """
        level = self._levels[-1]
        self._release(level.start or self.caller)
        level.saved = None
        level.committed = True

    def mark(self) -> None:
        """Open a savepoint for rollbacks to return to, in place of the last one.

        As the last one is released, a thousand commits need one savepoint.
        """
        level = self._levels[-1]
        if level.saved:
            level.saved.commit()
        level.saved = self._open()

    def rollback_to_savepoint(self) -> None:
        """Undo what was done since the last commit, or since the block began."""
        level = next(level for level in reversed(self._levels) if level.rollback_target)
        if level.saved:
            self._roll_back(level.saved)
            level.saved = self._open()
        elif level.start:
            self._roll_back(level.start)
            level.start = self._open()

    def enter(self, foreign: SessionTransaction | None = None) -> None:
        """Begin a block.

        :param foreign: the outermost savepoint that other code has opened since
            the block began, if that was before the hold.
        """
        self._levels.append(_Level(foreign=foreign) if foreign else _Level(start=self._open()))

    def leave(self, *, commit: bool, commit_required: bool) -> None:
        """End a block that succeeded. If it commits, so does the block around it.

        :param commit: False leaves the commit to the code around the block.
        :param commit_required: something in the block needs a commit. Unlike a commit
            by the block's own code, this ends no savepoint of the code around it.
        :raises InnerFailureError: see :meth:`undo`.
        """
        level = self._levels.pop()
        savepoint = level.start or level.saved
        if savepoint and self._failure:
            self._roll_back(savepoint)
        self.check_failure()
        if savepoint:
            savepoint.commit()
        innermost = self.rollback_target or self.caller
        is_alone = self.session.get_nested_transaction() is innermost
        if commit and (level.committed or (commit_required and is_alone)):
            self.commit_to_savepoint()

    def undo(self, error: BaseException) -> None:
        """End a block that failed: nothing of it stays.

        The foreign savepoint in which a late block began to hold undoes that block. If
        the foreign savepoint was released, only the end of the whole hold can undo it.
        """
        level = self._levels.pop()
        if level.start:
            self._roll_back(level.start)
        elif level.foreign in open_savepoints(self.session):
            assert level.foreign
            self._roll_back(level.foreign)
        else:
            if level.saved:  # SQLAlchemy 1.4 warns when one below it is rolled back first
                self._roll_back(level.saved)
            self._failure = error

    def reopen(self, foreign: SessionTransaction | None = None) -> None:
        """Open the savepoints of blocks anew, after a rollback of all that they did in the hold.

        :param foreign: the foreign savepoint that was rolled back, for the late blocks
            in it; None for the whole transaction and all blocks.
        """
        for level in self._levels[1:]:
            if foreign is None or (level.foreign is foreign and not level.rollback_target):
                level.start, level.saved, level.foreign = self._open(), None, None

    def release_all(self) -> None:
        """Release all savepoints above the caller's."""
        self._release(self.caller)

    def open_for_index(self) -> None:
        """Open a savepoint of the outermost block, while its search documents are written."""
        self._levels[0].saved = self._open()

    def check_failure(self) -> None:
        """:raises InnerFailureError: a block has failed that can only be undone with all others."""
        if self._failure is not None:
            raise InnerFailureError from self._failure

    def _open(self) -> SessionTransaction:
        """Open a savepoint, also within ``with session.begin_nested():``.

        SQLAlchemy refuses new savepoints there once a commit has ended the one of the ``with``.
        """
        session, private = self.session, "_trans_context_manager"  # in SQLAlchemy 1.4 and 2.0
        context = getattr(session, private)
        setattr(session, private, None)
        try:
            return session.begin_nested()
        finally:
            setattr(session, private, context)

    def _release(self, downto: SessionTransaction | None) -> None:
        """Release all savepoints above one."""
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


def open_savepoints(session: Session) -> list[SessionTransaction]:
    """Return the savepoints that are open, the innermost first."""
    found: list[SessionTransaction] = []
    transaction = session.get_nested_transaction()
    while transaction is not None:
        if transaction.nested:
            found.append(transaction)
        transaction = transaction.parent
    return found
