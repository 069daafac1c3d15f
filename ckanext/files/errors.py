"""Exceptions of this extension.

Only the edges (logic, views, cli) convert them to CKAN's own exceptions. An error that has one of
these as its second base reaches CKAN as it is.
"""

from __future__ import annotations

from ckan.plugins.toolkit import Invalid, ValidationError


class FilesError(Exception):
    """Base of every exception that this extension defines."""


class OutOfQueueError(FilesError, Invalid):
    """A task was queued outside of an action that carries a task queue.

    Raised in a validator, it becomes an error of the validator's field.
    """


class FileBusyError(FilesError, ValidationError):
    """Another request stores a file of the same name: the same call may succeed later."""


class InnerFailureError(FilesError):
    """An inner action has failed, and its change cannot be rolled back alone."""

    def __init__(self) -> None:
        super().__init__(
            "An action within this one has failed after it had asked for its first task, job or"
            " callback in a savepoint of its own. Its change can only be undone together with this"
            " action, so nothing was saved. Let the error pass, or decorate this action with"
            " with_task_queue(eager=True)."
        )


class CommitUnknownError(FilesError):
    """The connection was lost during COMMIT, and the outcome cannot be found out."""
