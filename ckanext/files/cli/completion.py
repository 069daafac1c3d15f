"""Names that a shell completes."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ckanext.files.store.storages import storages


def complete_storages(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the names of storages with which a shell may go on."""
    return words_with(incomplete, storages)


def words_with(start: str, words: Iterable[str]) -> list[str]:
    """Return the words that have this start."""
    return sorted(word for word in words if word.startswith(start))
