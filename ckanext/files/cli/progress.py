"""A progress bar for people who watch."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import click


class Progress:
    """Drawn on stderr, and not at all where that is no terminal.

    A context manager: what it has drawn is complete when the block ends.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def begin(self, length: int) -> None:
        """Draw it, now that it is known how much there is to do."""
        if sys.stderr.isatty():
            bar = click.progressbar(length=length, label=self._label, file=sys.stderr)
            self._bar = bar.__enter__()

    def add(self, number: int) -> None:
        """Say that so much more has been done."""
        if self._bar:
            self._bar.update(number)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.__exit__(type_, error, traceback)
