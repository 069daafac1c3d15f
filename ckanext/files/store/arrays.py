"""Hand many values to PostgreSQL as one parameter.

A statement is then the same text for any number of files. The driver would
write a list into the statement value by value, and PostgreSQL would parse as
many expressions: most of the time of a statement about a thousand files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY


def array(name: str, of: Any = sa.TEXT) -> Any:
    """Return a parameter that is an array in the statement; fill it with :func:`literal`."""
    return sa.cast(sa.bindparam(name, type_=sa.TEXT), ARRAY(of))


def rows(**columns: Any) -> Any:
    """Return a table ``new`` whose columns are arrays, by name and type."""
    arrays = (array(name, type_) for name, type_ in columns.items())
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived("new")


def literal(values: Iterable[str | bool]) -> str:
    """Write values as the text of an array."""
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: str | bool) -> str:
    text = str(value)
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
