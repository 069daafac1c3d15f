"""Template helpers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ckanext.files.pages import files as pages
from ckanext.files.pages.page_file import PageFile

__all__ = ["files_attached", "files_offered", "files_own_files"]


def files_attached(value: Any) -> list[PageFile]:
    """Return the files that the value of a field names, in their order.

    :param value: an id, a list of ids, or such a list as JSON.
    """
    return pages.attached(value)


def files_own_files() -> list[PageFile]:
    """Return the visitor's files that are not attached to anything yet, newest first."""
    return pages.own_files()


def files_offered(
    value: Any, owner_types: Collection[str] = (), owner: str | None = None
) -> list[PageFile]:
    """Return the files that a form offers for a field.

    First those that the field names, in their order, then others that belong
    to what is being edited, such as those that the field has named before,
    then those of the visitor.

    :param value: what the field names now, also when the form comes back with
        an error.
    :param owner_types: what the form edits: ``package``, ``resource``,
        ``group`` or ``organization``; several where the form cannot tell.
    :param owner: its id or name; empty when it does not exist yet.
    """
    return pages.offered(value, owner_types, owner)
