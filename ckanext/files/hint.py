"""The right name, for one that is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def with_hint(sentence: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence about a name that is not known, with a similar one that is."""
    similar = similar_name(name, known)
    return f"{sentence} Did you mean {similar}?" if similar else sentence


def similar_name(name: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """Return the most similar name, if there is one.

    :param least: how similar it is at least, up to 1 for equal names.
    """
    return next(iter(difflib.get_close_matches(name, list(known), 1, least)), None)
