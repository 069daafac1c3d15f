"""Where each job notes when it started: a file to which all processes append.

A line costs a job two microseconds, so that one that does nothing still does
next to nothing, and tells whether it was lost or done twice.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

VARIABLE = "BENCHMARK_JOURNAL"
"""Of the environment: the file."""

_LINE = struct.Struct("=qqd")


class Line(NamedTuple):
    """What a job has noted."""

    number: int
    pid: int
    time: float


class MissingError(Exception):
    """Not all jobs have been done in time."""


def now() -> float:
    """Return the time by the clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def note(number: int) -> None:
    """Say that a job starts now."""
    os.write(_file(), _LINE.pack(number, os.getpid(), now()))


@functools.cache
def _file() -> int:
    # with O_APPEND the lines of several processes do not mix
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND)


class Journal:
    """Reads what was not taken before."""

    def __init__(self) -> None:
        self._input = Path(os.environ[VARIABLE]).open("rb", buffering=0)  # noqa: SIM115
        self._lines: list[Line] = []

    def look(self) -> int:
        """Return how many lines are there."""
        self._lines += (Line(*values) for values in _LINE.iter_unpack(self._input.read()))
        return len(self._lines)

    def take(self) -> list[Line]:
        """Return the lines that are there."""
        self.look()
        lines, self._lines = self._lines, []
        return lines
