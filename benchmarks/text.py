"""Tables and sections that can be read in a terminal and are reStructuredText."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .figures import Figure


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column holds words, the others figures."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    return "\n".join([rule, _line(head, widths), rule, *(_line(r, widths) for r in rows), rule])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = [
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join([first, *others]).rstrip()


def section(title: str, words: str, body: str) -> str:
    """Return a section with its heading."""
    return f"{title}\n{'=' * len(title)}\n\n{words}\n\n{body}"


def number(value: float) -> str:
    """Return three digits, or all of them before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def interval(figure: Figure) -> str:
    """Return the interval, if there is one."""
    return "" if math.isinf(figure.high) else f"{number(figure.low)} to {number(figure.high)}"
