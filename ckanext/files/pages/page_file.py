"""A file as a page shows it."""

from __future__ import annotations

import dataclasses
from datetime import datetime


@dataclasses.dataclass(frozen=True)
class PageFile:
    """What a template may tell of a file."""

    id: str

    name: str | None = None
    """None: there is no such file, or the visitor may not see it."""

    url: str | None = None
    """Where to download it."""

    size: int | None = None
    """In bytes."""

    format: str | None = None
    """As CKAN calls formats; None if it does not know it."""

    created: datetime | None = None

    is_own: bool = False
    """The visitor has uploaded it, and it is not attached to anything yet."""

    is_chosen: bool = False
    """The field that is being edited names it."""
