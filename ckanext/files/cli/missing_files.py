"""Look for files whose bytes are missing, with progress."""

from __future__ import annotations

from typing import Any

from ckanext.files.store.stored import Stored, find_missing

from .output import ProgressBar


def look_for_missing(connection: Any, table: Any, stored: Stored) -> list[str] | None:
    """Return the ids of the files of a storage without bytes; None if it cannot be asked.

    :param table: of the files.
    """
    if not stored.can_be_asked:
        return None
    with ProgressBar(f"Looking for files of {stored.storage}") as bar:
        bar.begin(stored.files)
        return find_missing(connection, table, stored, bar.add)
