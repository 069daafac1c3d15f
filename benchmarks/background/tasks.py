"""What jobs do; each contender makes tasks of its own of these."""

from __future__ import annotations

import sqlalchemy as sa
from ckan import model

from .journal import note

WORKS = ("nothing", "write")
"""The functions of this module, which are the tasks of every queue."""

_WRITE = sa.text("INSERT INTO benchmark_write (number) VALUES (:number)")


def nothing(number: int) -> None:
    """Do nothing."""
    note(number)


def write(number: int) -> None:
    """Write one row through CKAN's session, and commit it."""
    note(number)
    model.Session.execute(_WRITE, {"number": number})
    model.Session.commit()
