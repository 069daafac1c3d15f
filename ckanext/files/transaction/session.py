"""The session of a thread while a hold is active.

One session gets this class in front of its own, for as long as the hold
lasts. No other session, engine or connection is touched.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ckan.model import meta
from sqlalchemy.orm import Session, SessionTransaction

from ckanext.files import capabilities

if TYPE_CHECKING:
    from .hold import Hold


class HeldSession(Session):
    """A session whose commits are savepoints and whose rollbacks return to them."""

    own_class: type[Session]
    hold: Hold

    def commit(self) -> None:
        """Save what was done so far; the hold makes it true at its end."""
        if self._is_in_savepoint_of_others():
            super().commit()
        else:
            self.hold.save()

    def rollback(self) -> None:
        """Go back to the last commit, or to where the innermost block began."""
        if self.hold.floor is None or self._is_in_savepoint_of_others():
            super().rollback()
        else:
            self.hold.go_back()

    def close(self) -> None:
        """As :meth:`rollback`, and forget all objects. Also what ``remove()`` calls."""
        self.expunge_all()  # first: going back would expire what the caller still holds
        if self.hold.floor is None:
            super().close()
            self.hold.begin_again()
        else:
            self.hold.go_back()

    reset = close

    def begin_nested(self) -> SessionTransaction:
        """Open a savepoint; a rollback to it concerns what comes after it only."""
        self.hold.keep_changes()
        return super().begin_nested()

    def _is_in_savepoint_of_others(self) -> bool:
        """Tell whether a commit or rollback means only the innermost savepoint."""
        innermost = self.get_nested_transaction()
        return innermost not in (None, self.hold.floor) and not capabilities.commit_reaches_root(
            self
        )


def put_in_front(session: Session, hold: Hold) -> None:
    """Give the session the held behaviour."""
    _keep_registry()
    session.__class__ = _held_class(session.__class__)
    session.hold = hold  # pyright: ignore[reportAttributeAccessIssue]


def take_away(session: Session) -> None:
    """Give the session back its own class, if it has lost it."""
    if isinstance(session, HeldSession):
        del session.hold
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
