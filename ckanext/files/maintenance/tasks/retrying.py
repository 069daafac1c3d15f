"""When a step is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckanext.files.background import RetryStrategy
from ckanext.files.errors import FilesError


class Again(RetryStrategy):
    """Try again what may go better: a database or a storage that is away for a while.

    What this extension refuses, it would refuse again.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> Any:
        """Return when to try a step again; None for never."""
        if isinstance(exception, FilesError):
            return None
        return super().get_retry_decision(exception=exception, job=job)


_UNREACHABLE = 10


def check_reachable(reasons: Sequence[str]) -> None:
    """Raise OSError if the last files of a step were all unreadable: their storage is away.

    :param reasons: why each file could not be read; empty if it could.
    """
    last = reasons[-_UNREACHABLE:]
    if len(last) == _UNREACHABLE and all(last):
        raise OSError(f"The storage cannot be read any more: {last[-1]}")


AGAIN = Again(max_attempts=5, exponential_wait=5)
"""After 5, 25, 125, 625 and 3125 seconds: an hour in all."""
