"""The words of the attachment field and of the pages that upload, for templates and scripts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.error_texts import text_of_errors

_SECONDS = (5, 10, 15, 20, 30, 45)
_MINUTES = (*range(1, 10), 10, 15, 20, 25, 30, 40, 50)
_HOURS = (1, 2, 3, 4, 6, 8, 12, 18, 24)


def files_then(owner_types: Collection[str] | None = None) -> list[tuple[str, str]]:
    """Return what can happen to a file that is taken out of a field, with the words for it.

    :param owner_types: what the form edits.
    """
    keep = {
        "package": tk._("Keep it with the dataset (downloadable)"),
        "resource": tk._("Keep it with the resource (downloadable)"),
        "group": tk._("Keep it with the group (downloadable)"),
        "organization": tk._("Keep it with the organization (downloadable)"),
        "user": tk._("Keep it with the profile (downloadable)"),
    }
    owner_type = next(iter(owner_types or ()), "")
    return [
        ("keep", keep.get(owner_type, tk._("Keep it (downloadable)"))),
        ("give_back", tk._("Give it back to me")),
        ("delete", tk._("Delete it")),
    ]


def files_error_text(errors: Any) -> str:
    """Return the errors of a field as one text."""
    return text_of_errors(errors)


def files_size_patterns() -> list[str]:
    """Return CKAN's words for a size in bytes, KiB, MiB, GiB and TiB, with ``{n}`` in them.

    Scripts put the number there, so that they have the same words as the page.
    """
    sizes = [tk.h.localised_filesize(5 * 1024**power) for power in range(5)]
    numbers = [tk.h.localised_number(n) for n in (5, *[5.0] * 4)]
    return [
        size.replace(str(number), "{n}", 1) for size, number in zip(sizes, numbers, strict=True)
    ]


def files_times_left() -> list[tuple[int, str]]:
    """Return durations in seconds with their words, for a script that counts down."""
    return [
        *((n, _seconds_left(n)) for n in _SECONDS),
        *((n * 60, _minutes_left(n)) for n in _MINUTES),
        *((n * 3600, _hours_left(n)) for n in _HOURS),
    ]


def _seconds_left(n: int) -> str:
    return tk.ungettext("{n} second left", "{n} seconds left", n).format(n=n)


def _minutes_left(n: int) -> str:
    return tk.ungettext("{n} minute left", "{n} minutes left", n).format(n=n)


def _hours_left(n: int) -> str:
    return tk.ungettext("{n} hour left", "{n} hours left", n).format(n=n)
