"""Hand many values to PostgreSQL as one parameter.

A statement is then the same text for any number of files. The driver would
write a list into the statement value by value, and PostgreSQL would parse as
many expressions: most of the time of a statement about a thousand files.
"""

from __future__ import annotations

from collections.abc import Iterable


def literal(values: Iterable[str | bool]) -> str:
    """Write values as the text of an array, to be cast in the statement."""
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: str | bool) -> str:
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
