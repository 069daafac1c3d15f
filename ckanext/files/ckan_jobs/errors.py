"""Exceptions of CKAN's background jobs."""

from __future__ import annotations

from ckanext.files.background.errors import BackgroundError


class ForgedJobError(BackgroundError):
    """A job that this site has not signed."""


class RedisNeededError(BackgroundError, NotImplementedError):
    """RQ can do this only with jobs in Redis."""
