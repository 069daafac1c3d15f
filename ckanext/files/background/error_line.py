"""What people read of a job's error: the class of an exception, and its words."""

from __future__ import annotations

import re
from typing import Any

_LINE = re.compile(
    r"(?P<pause>\w+ cannot be reached, pause \d+ of \d+: )?"
    r"(?P<module>(?:[\w<>]+\.)*)(?P<name>[\w<>]+)(?:: |:?$)"
)
"""What Python prints of an exception, after what :mod:`.retry` says of an outage. A sentence that
is no exception, such as that a worker was lost, has a space after its first word."""


def first_line(error: str | None) -> str:
    """Return the first line of an error; an empty text if there is none."""
    return next(iter((error or "").splitlines()), "")


def words_of(error: str) -> str:
    """Return the first line of an error without the name of a class, for people who know no Python.

    An exception without words has an empty text.
    """
    line = first_line(error)
    found = _LINE.match(line)
    return f"{found['pause'] or ''}{line[found.end() :]}".removesuffix(": ") if found else line


def shortened(error: str | None) -> str:
    """Return the first line of an error with the name of its class, but not of its module."""
    line = first_line(error)
    found = _LINE.match(line)
    return line[: found.start("module")] + line[found.start("name") :] if found else line


def text_of_validation(errors: Any) -> str:
    """Return the errors of a validation in one line, such as ``title: Missing value``."""
    if isinstance(errors, dict):
        texts = {name: text_of_validation(value) for name, value in errors.items()}
        return "; ".join(
            text if name == "message" else f"{name}: {text}" for name, text in texts.items() if text
        )
    if isinstance(errors, (list, tuple)):
        return ", ".join(filter(None, map(text_of_validation, errors)))
    return str(errors or "").strip()
