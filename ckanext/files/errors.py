"""Exceptions of this extension.

Only the edges (logic, views, cli) turn them into CKAN's own exceptions.
"""

from __future__ import annotations


class FilesError(Exception):
    """Base of every exception that this extension defines."""


class OutOfQueueError(FilesError):
    """A task was queued outside of an action that carries a task queue."""


class CommitUnknownError(FilesError):
    """The connection was lost during COMMIT and the outcome cannot be learned."""
