"""What the errors of actions mean to a person, on pages, in fields of a form and in refusals.

Left out: the names of the fields that the errors are about, which are for programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import ckan.plugins.toolkit as tk

_HAS_END = re.compile(r"[.!?:;…\u3002\uff01\uff1f]$")


def text_of(error: Any) -> str:
    """Return the text of an error that an action has raised."""
    if isinstance(error, tk.ValidationError):
        return text_of_errors(error.error_dict)
    return str(getattr(error, "message", None) or error)


def text_of_errors(errors: Any) -> str:
    """Return the text of the errors of a validation, by their fields, or of one field."""
    return joined(_sentences(errors))


def joined(sentences: Iterable[str]) -> str:
    """Return sentences as one text, with a full stop between two. A single one stays as it is."""
    *others, last = list(dict.fromkeys(filter(None, sentences))) or [""]
    return " ".join([*(_ended(sentence) for sentence in others), last])


def _ended(sentence: str) -> str:
    return sentence if _HAS_END.search(sentence) else f"{sentence}."


def _sentences(errors: Any) -> Iterator[str]:
    """Yield the sentences in a dictionary of errors, which may be nested, as for resources."""
    if isinstance(errors, dict):
        errors = [value for key, value in errors.items() if key != "__type"]
    if isinstance(errors, (list, tuple)):
        for value in errors:
            yield from _sentences(value)
    elif errors:
        yield str(errors).strip()
