"""Exceptions of background tasks."""

from __future__ import annotations

from ckanext.files.errors import FilesError


class BackgroundError(FilesError):
    """Base of every exception of background tasks."""


class NotInstalledError(BackgroundError):
    """The tables of background tasks are missing."""


class TaskDefinitionError(BackgroundError):
    """A task, or the module of one, is not what a worker could find and run."""


class UnknownTaskError(BackgroundError):
    """There is no task of that name."""


class ArgumentError(BackgroundError, TypeError):
    """The arguments do not fit the task, or JSON cannot hold them."""


class AlreadyEnqueuedError(BackgroundError):
    """A job with the same queueing lock is waiting."""


class NotInJobError(BackgroundError):
    """Only a step of a job can do this."""


class MaxRetriesExceededError(BackgroundError):
    """A step was tried as often as it may be."""


class JobAborted(BackgroundError):  # noqa: N818 - the name is Procrastinate's
    """A job ends while a step runs: its task was told to by ``should_abort``, or is interrupted."""


class LostJobError(BackgroundError):
    """The job was taken away from this worker while it ran a step of it."""


class StepTimeout(BaseException):
    """A step took longer than its task allows. Also raised in one whose job is to end at once."""
