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


def cancel_found(
    filters: Mapping[str, Any], now: bool = False, before: int | None = None
) -> Iterator[int]:
    """Return batches that end the jobs which match filters: each yields how many it has changed.

    Jobs that come after this call do not belong to them, however late the first batch is asked for.

    :param filters: see :class:`~ckanext.files.background.search.Search`.
    :param now: see :func:`.control.cancel`.
    :param before: only jobs that are older than the one with this id.
    """
    return _in_batches(to_cancel(filters), before, lambda ids: len(control.cancel_many(ids, now)))


def retry_found(filters: Mapping[str, Any], before: int | None = None) -> Iterator[int]:
    """Return batches that run the jobs again which match filters, as :func:`cancel_found` does."""
    return _in_batches(to_retry(filters), before, control.retry_many)


def to_cancel(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters for the jobs among them that have not ended."""
    return _among(control.LIVE, filters)


def to_retry(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters for the jobs among them that failed, were cancelled or aborted."""
    return _among(_BADLY_ENDED, filters)


def _among(states: Sequence[str], filters: Mapping[str, Any]) -> dict[str, Any]:
    chosen = [state for state in states if state in filters.get("status", states)]
    return {**filters, "status": chosen}


def _in_batches(
    filters: Mapping[str, Any], before: int | None, change: Callable[[list[int]], int]
) -> Iterator[int]:
    if not filters["status"]:
        return iter(())
    search = Search(filters)
    return _batches(search, before or search.find(1).end, change)


def _batches(
    search: Search, before: int | None, change: Callable[[list[int]], int]
) -> Iterator[int]:
    while before is not None:
        found = search.find(_BATCH, before=before)
        yield change(found.ids) if found.ids else 0
        before = found.next
