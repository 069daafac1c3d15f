"""Exceptions of maintenance."""

from __future__ import annotations

from typing import ClassVar

from ckanext.files.errors import FilesError


class MaintenanceError(FilesError):
    """Base of all exceptions of maintenance."""


class ArgumentError(MaintenanceError):
    """An argument of a task has a wrong type or value."""


class ScheduleError(MaintenanceError):
    """An option of a schedule has a wrong value."""


class StorageRefusedError(MaintenanceError):
    """A storage does not exist, or lacks what a task needs."""


class NotAcceptedError(MaintenanceError):
    """A storage does not take a file: the file is too large, or its type is not allowed."""

    kind = "not accepted"


class ContentError(MaintenanceError):
    """The content of a file differs from what its row records."""

    kind: ClassVar[str]
    """How a job counts such files."""


class MissingContentError(ContentError):
    """The storage does not have the bytes."""

    kind = "missing"


class UnreadableContentError(ContentError):
    """The storage cannot give back the bytes."""

    kind = "unreadable"


class DamagedContentError(ContentError):
    """Size or checksum differ from the row."""

    kind = "damaged"
