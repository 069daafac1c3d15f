"""Progress, tables, lists and JSON, as all commands print them.

What a command reports goes to stdout, progress and warnings go to stderr: stdout can be read by a
program, above all with ``--json``.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import click

SECONDS_BETWEEN_LINES = 10
"""How often progress is a line of a log, where stderr is no terminal."""


class ProgressBar:
    """A progress bar on stderr if stderr is a terminal, and a plain line now and then if not.

    A context manager: the bar is complete when the block ends.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._done, self._length = 0, ""
        self._last_line = time.monotonic()

    def begin(self, length: int | None = None) -> None:
        """Draw the bar.

        :param length: how much there is to do; None if the command does not know.
        """
        if length is not None:
            self._length = f" of {length}"
        if length != 0 and sys.stderr.isatty():
            self._bar = _bar(self._label, length)
            self._bar.__enter__()

    def add(self, number: int) -> None:
        """Move the bar forward."""
        self._done += number
        if self._bar:
            self._bar.update(number)
        elif time.monotonic() >= self._last_line + SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            click.echo(f"{self._label}: {self._done}{self._length}", err=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.__exit__(type_, error, traceback)


def _bar(label: str, length: int | None) -> Any:
    if length is not None:
        return click.progressbar(length=length, label=label, file=sys.stderr)
    endless = itertools.count()
    return click.progressbar(endless, label=label, show_eta=False, show_pos=True, file=sys.stderr)


def warn(sentence: str) -> None:
    click.secho(f"Warning: {sentence}", fg="yellow", err=True)


def print_json(document: dict[str, Any]) -> None:
    """Print the one JSON document of a command; times are in ISO 8601, sets are sorted lists."""
    click.echo(json.dumps(document, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    """Return what JSON has for a value that it does not know."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"JSON has nothing for {value!r}")


def print_heading(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def print_list(lines: Sequence[str], number: int = 0) -> None:
    """Print lines with a dash.

    :param number: how many lines there would be; the list ends with the number of further ones.
    """
    for line in lines:
        click.echo(f"  - {line}")
    if number > len(lines):
        click.echo(f"  and {number - len(lines)} more")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, each as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_numbers(numbers: Mapping[str, int]) -> None:
    """Print numbers in a column, each after its label."""
    for label, number in numbers.items():
        click.echo(f"{label:<15}{number:>10}")


def in_utc(at: dt.datetime | None) -> str:
    """Return a time in UTC, to the second; an empty text for None."""
    return f"{at.astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}" if at else ""


def print_nothing(sentence: str, *, as_json: bool) -> None:
    """Print that there are no tables to work with."""
    if as_json:
        print_json({"tables_exist": False})
    else:
        click.echo(sentence)
