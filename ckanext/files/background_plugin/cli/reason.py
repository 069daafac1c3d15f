"""Why a job is not done yet, or what has become of it: for people, on one line."""

from __future__ import annotations

import datetime as dt

from ckanext.files.background.record import Record

from .moment import moment


def reason(job: Record) -> str:
    """Return what a job waits for, how often it was tried, and what it has told or failed with."""
    waits = job.status in ("todo", "doing") and not job.running
    said = [_waits_for(job), _tries(job.attempts)] if waits else []
    # a job that runs again has the error of the last run: the progress is newer
    told = job.error if job.status != "succeeded" and not (job.running and job.text) else None
    told = told or job.text
    return "; ".join(filter(None, [*said, next(iter((told or "").splitlines()), "")]))


def _waits_for(job: Record) -> str:
    if job.status == "doing":
        return "waits for a worker to go on"
    if job.scheduled_at and job.scheduled_at > dt.datetime.now(dt.timezone.utc):
        return f"due {moment(job.scheduled_at)}"
    return f"waits for the lock {job.lock}" if job.locked else "waits for a worker"


def _tries(attempts: int) -> str:
    if not attempts:
        return ""
    return "tried once" if attempts == 1 else f"tried {attempts} times"
