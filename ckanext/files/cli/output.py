"""Progress bars, tables and lists, as all commands print them."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import click


class ProgressBar:
    """A progress bar on stderr, if stderr is a terminal.

    A context manager: the bar is complete when the block ends.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def begin(self, length: int) -> None:
        """Draw the bar, when the command knows how much there is to do."""
        if sys.stderr.isatty():
            bar = click.progressbar(length=length, label=self._label, file=sys.stderr)
            self._bar = bar.__enter__()

    def add(self, number: int) -> None:
        """Move the bar forward."""
        if self._bar:
            self._bar.update(number)

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


def in_utc(at: dt.datetime | None) -> str:
    """Return a time in UTC, to the second; an empty text for None."""
    return f"{at.astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S}" if at else ""
