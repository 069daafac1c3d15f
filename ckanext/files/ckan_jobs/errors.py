"""Exceptions of CKAN's background jobs."""

from __future__ import annotations

from typing import Any

import rq.exceptions

from ckanext.files.background.errors import BackgroundError, JobAborted

_Duplicate: Any = getattr(rq.exceptions, "DuplicateJobError", Exception)
"""RQ's error, which RQ of CKAN 2.11 does not have."""


class ForgedJobError(BackgroundError):
    """A job that this site has not signed."""


class RedisNeededError(BackgroundError, NotImplementedError):
    """RQ can do this only with jobs in Redis."""


class DuplicateJobError(BackgroundError, _Duplicate):
    """A job with that id waits or runs, and the caller wants no second one."""


class JobLockedError(BackgroundError):
    """Another transaction has changed the job, and does not end."""


class TextError(BackgroundError, ValueError):
    """The tables cannot hold the id or the queue of a job."""


class PolicyError(BackgroundError):
    """An option about jobs has a value without a meaning."""


class MoveError(BackgroundError):
    """Jobs cannot be moved between Redis and PostgreSQL now."""


class JobExpired(JobAborted):
    """A job had waited longer than its caller wanted when a worker took it."""

    status = "cancelled"


def refuse(**wanted: Any) -> None:
    """Refuse options that rows cannot have.

    :raises RedisNeededError: the caller wants one of them.
    """
    for option, value in wanted.items():
        if value not in (None, False, []):
            raise RedisNeededError(f"Such jobs in PostgreSQL have no option {option}")
