"""Exceptions of maintenance."""

from __future__ import annotations

from ckanext.files.errors import FilesError


class MaintenanceError(FilesError):
    """Base of every exception of maintenance."""


class ArgumentError(MaintenanceError):
    """A task was asked with something else than it takes."""


class StorageRefusedError(MaintenanceError):
    """There is no such storage, or it cannot do what is needed."""


class NotAcceptedError(MaintenanceError):
    """A storage does not take a file: it is too large, or of a wrong type."""


class ContentError(MaintenanceError):
    """The content of a file is not what it should be."""


class MissingContentError(ContentError):
    """The bytes are not there."""


class UnreadableContentError(ContentError):
    """The bytes cannot be read."""


class DamagedContentError(ContentError):
    """The bytes are others than those that were stored."""


class ScheduleError(MaintenanceError):
    """An option of a schedule is not what it has to be."""
