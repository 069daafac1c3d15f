"""Exceptions of background tasks."""

from __future__ import annotations

from ckanext.files.errors import FilesError


class BackgroundError(FilesError):
    """Base of every exception of background tasks."""


class NotInstalledError(BackgroundError):
    """The tables of background tasks are missing."""


class TaskDefinitionError(BackgroundError):
    """A worker could not find or run a task, or import its module."""


class UnknownTaskError(BackgroundError):
    """There is no task of that name."""


class ArgumentError(BackgroundError, TypeError):
    """The arguments do not fit the task, or JSON cannot hold them."""


class AlreadyEnqueuedError(BackgroundError):
    """A job with the same queueing lock waits."""


class NotInJobError(BackgroundError):
    """Only a step of a job can do this."""


class MaxRetriesExceededError(BackgroundError):
    """A step was tried as often as it may be."""


class JobAborted(BackgroundError):  # noqa: N818 - the name is Procrastinate's
    """A job ends during a step: the task has looked at ``should_abort``, or is interrupted."""

    status = "aborted"
    """What the job is then."""


class LostJobError(BackgroundError):
    """Another worker or an operator took the job from this worker during a step."""


class StepTimeout(BaseException):
    """A step took longer than its task allows, or its job is to end at once."""

    what = "step"
    """What took too long, in the words of the log."""
