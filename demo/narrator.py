"""Tells the story in the terminal, and stops it where it does not hold."""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

from .visitor import Answer

_numbers = itertools.count(1)

BOLD, DIM, GREEN, RED = 1, 2, 32, 31


class BrokenError(Exception):
    """Something in the story did not hold."""


def _coloured(text: str, code: int) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{code}m{text}\033[0m"


def chapter(title: str) -> None:
    print(f"\n{_coloured(title, BOLD)}", flush=True)


def step(text: str) -> None:
    print(f"\n{next(_numbers):3}  {text}", flush=True)


def aside(text: str) -> None:
    print(f"     {_coloured(text, DIM)}", flush=True)


def check(text: str, holds: bool, otherwise: object = "") -> None:
    """Print that something holds.

    :param otherwise: what was found instead.
    :raises BrokenError: it does not hold.
    """
    if not holds:
        raise BrokenError(f"{text}\n     instead: {otherwise}" if otherwise != "" else text)
    print(f"     {_coloured('ok', GREEN)}  {text}", flush=True)


def check_same(what: str, before: Any, after: Any) -> None:
    """Print that something is as it was."""
    changed = after
    if isinstance(after, dict):
        changed = {key: value for key, value in after.items() if before.get(key) != value}
    check(f"the {what} is as it was", before == after, changed)


def expect(answer: Answer, status: int, text: str) -> Answer:
    """Print that the site has answered with this status."""
    check(f"{text} ({status})", answer.status == status, answer)
    return answer


def fail(text: object) -> None:
    print(f"\n  {_coloured('DOES NOT HOLD', RED)}  {text}\n", flush=True)
