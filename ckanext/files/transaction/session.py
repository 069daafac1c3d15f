"""The session of a thread while a hold is active.

:func:`install` gives one session a class in front of its own, until
:func:`uninstall`. No other session, engine or connection changes.
"""

from __future__ import annotations

import functools
from typing import Any

from ckan.model import meta
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.files import capabilities

from .journal import set_changes_aside
from .savepoints import Held, Savepoints


class HeldSession(Held, Session):
    """A session whose commits are savepoints and whose rollbacks return to them."""

    own_class: type[Session]

    def commit(self) -> None:
        """Keep what was done so far; the hold makes it true at its end."""
        if self._is_in_foreign_savepoint():
            super().commit()
        else:
            self.savepoints.commit_to_savepoint()

    def rollback(self) -> None:
        """Return to the last commit, or to the start of the innermost block."""
        if self.savepoints.rollback_target is None or self._is_in_foreign_savepoint():
            super().rollback()
        else:
            self.savepoints.rollback_to_savepoint()

    def close(self) -> None:
        """Roll back as :meth:`rollback` does, and forget all objects. ``remove()`` calls this."""
        self.expunge_all()  # first: the rollback would expire objects that the caller still uses
        if self.savepoints.rollback_target is None:
            super().close()
            self.savepoints.reopen()
        else:
            self.savepoints.rollback_to_savepoint()

    reset = close

    def begin_nested(self) -> SessionTransaction:
        """Open a savepoint; a rollback to it concerns what comes after it only."""
        set_changes_aside(self)
        return super().begin_nested()

    def _is_in_foreign_savepoint(self) -> bool:
        """Return whether a commit or rollback means only the innermost savepoint."""
        innermost = self.get_nested_transaction()
        return innermost not in (
            None,
            self.savepoints.rollback_target,
        ) and not capabilities.commit_reaches_root(self)


def install(session: Session, savepoints: Savepoints) -> None:
    """Give the session the held behaviour."""
    _keep_registry()
    session.__class__ = _held_class(session.__class__)
    session.savepoints = savepoints  # pyright: ignore[reportAttributeAccessIssue]


def uninstall(session: Session) -> None:
    """Give the session its own class back, if it has lost it."""
    if isinstance(session, HeldSession):
        del session.savepoints
        session.__class__ = session.own_class  # pyright: ignore[reportAttributeAccessIssue]


@functools.cache
def _held_class(own: type[Session]) -> type[Session]:
    return type(f"Held{own.__name__}", (HeldSession, own), {"own_class": own})


@functools.cache
def _keep_registry() -> None:
    """Keep the thread's session across ``Session.remove()`` while it is held.

    A session made after a ``remove()`` would work on another connection and
    commit by itself.
    """
    registry: Any = meta.Session.registry
    clear = registry.clear

    def clear_unless_held() -> None:
        if not (registry.has() and isinstance(registry(), HeldSession)):
            clear()

    registry.clear = clear_unless_held


@event.listens_for(meta.Session, "after_soft_rollback")
def _after_soft_rollback(session: Session, transaction: SessionTransaction) -> None:
    if isinstance(session, HeldSession):
        session.savepoints.reopen(transaction if transaction.parent else None)


@event.listens_for(meta.Session, "before_commit", insert=True)  # before CKAN's
def _before_commit(session: Session) -> None:
    if isinstance(session, HeldSession):
        set_changes_aside(session)
