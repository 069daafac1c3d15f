"""What jobs do, and the file in which each notes when it started; all processes append to it.

A note costs a job two microseconds, so that one that does nothing still does next to nothing, and
shows whether it was lost or done twice.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from ckan import model

VARIABLE = "BENCHMARK_JOURNAL"
"""Of the environment: the file."""

WORKS = ("nothing", "write")
"""The functions of this module which are the tasks of every queue."""

TABLES = """
    CREATE TABLE benchmark_write (number bigint NOT NULL);
    CREATE TABLE benchmark_request (number bigint NOT NULL);
"""
_NOTE = struct.Struct("=qqd")
_WRITE = sa.text("INSERT INTO benchmark_write (number) VALUES (:number)")


class Note(NamedTuple):
    """The start of a job."""

    number: int
    pid: int
    time: float


class MissingError(Exception):
    """Not all jobs have been done, or not in time."""


def now() -> float:
    """Return the time by the clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def nothing(number: int) -> None:
    """Do nothing."""
    os.write(_file(), _NOTE.pack(number, os.getpid(), now()))


def write(number: int) -> None:
    """Write one row through CKAN's session, and commit it."""
    nothing(number)
    model.Session.execute(_WRITE, {"number": number})
    model.Session.commit()


@functools.cache
def _file() -> int:
    # with O_APPEND the notes of several processes do not mix
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND)


class Journal:
    """Reads what was not taken before."""

    def __init__(self) -> None:
        self._input = Path(os.environ[VARIABLE]).open("rb", buffering=0)  # noqa: SIM115
        self._notes: list[Note] = []

    def look(self) -> int:
        """Return how many notes are there."""
        self._notes += (Note(*values) for values in _NOTE.iter_unpack(self._input.read()))
        return len(self._notes)

    def take(self, numbers: range) -> list[Note]:
        """Return the notes that are there.

        :raises MissingError: they are not one of each of these jobs.
        """
        self.look()
        notes, self._notes = self._notes, []
        if sorted(note.number for note in notes) != list(numbers):
            raise MissingError(f"not each of the jobs {numbers} was done once: {notes[:10]} ...")
        return notes
