"""What jobs do, and the file in which each notes when it started; all processes append to it.

A note costs a job two microseconds, so that one that does nothing still does next to nothing, and
shows whether it was lost or done twice. A worker that forks for each job loads this for each one.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path

import sqlalchemy as sa
from ckan import model

_NOTE = struct.Struct("=qqd")


def nothing(number: int) -> None:
    """Do nothing."""
    os.write(_file(), _NOTE.pack(number, os.getpid(), time.monotonic()))


def write(number: int) -> None:
    """Write one row through CKAN's session, and commit it."""
    nothing(number)
    add_row(number)
    model.Session.commit()


def add_row(number: int) -> None:
    statement = sa.text("INSERT INTO benchmark_write (number) VALUES (:number)")
    model.Session.execute(statement, {"number": number})


def written(numbers: list[int]) -> list[int]:
    """Return the numbers of the rows that these jobs have committed."""
    query = sa.text("SELECT number FROM benchmark_write WHERE number BETWEEN :first AND :last")
    rows = model.Session.execute(query, {"first": numbers[0], "last": numbers[-1]}).scalars().all()
    # the next look has to see what others have committed meanwhile
    model.Session.rollback()
    return sorted(rows)


@functools.cache
def _file() -> int:
    # with O_APPEND the notes of several processes do not mix
    path = Path(os.environ["CKAN_INI"]).with_name("journal")
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def started() -> int:
    """Return how many jobs have started since notes were taken."""
    return os.fstat(_file()).st_size // _NOTE.size


def take_notes() -> list[tuple[int, int, float]]:
    """Return number, process and time of each start, and remove these notes."""
    notes = list(_NOTE.iter_unpack(os.pread(_file(), started() * _NOTE.size, 0)))
    os.ftruncate(_file(), 0)
    return notes
