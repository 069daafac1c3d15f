"""Exceptions of harvesting."""

from __future__ import annotations

from ckanext.files.background.errors import BackgroundError


class HarvestQueueError(BackgroundError):
    """Code wants a queue of ckanext-harvest that is not in PostgreSQL, or another version of it."""


class NotHarvestedError(BackgroundError):
    """ckanext-harvest has left a message for a later try."""
