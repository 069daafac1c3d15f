"""Ending jobs, and running them again: all that match a search.

In batches, each a transaction that the caller commits, so that workers hardly notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import control
from .search import Search

_BATCH = 500
"""Jobs that one transaction changes."""

_BADLY_ENDED = ("failed", "cancelled", "aborted")


def cancel_found(filters: Mapping[str, Any], now: bool = False) -> Iterator[int]:
    """End the jobs that match filters; yield after each batch how many it has changed.

    :param filters: see :class:`~ckanext.files.background.search.Search`.
    :param now: see :func:`.control.cancel`.
    """
    return _in_batches(filters, control.LIVE, lambda ids: len(control.cancel_many(ids, now)))


def retry_found(filters: Mapping[str, Any]) -> Iterator[int]:
    """Run the jobs again that match filters; yield as :func:`cancel_found` does."""
    return _in_batches(filters, _BADLY_ENDED, control.retry_many)


def _in_batches(
    filters: Mapping[str, Any], states: Sequence[str], change: Callable[[list[int]], int]
) -> Iterator[int]:
    chosen = [state for state in states if state in filters.get("status", states)]
    search = Search({**filters, "status": chosen})
    before: int | None = None
    while chosen:
        found = search.find(_BATCH, before=before)
        yield change(found.ids) if found.ids else 0
        before = found.next
        if before is None:
            return
