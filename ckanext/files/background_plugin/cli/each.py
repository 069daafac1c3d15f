"""The jobs that a command names, and doing something to each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from ckanext.files.background import record

_NUMBER = click.IntRange(1, 2**63 - 1)

JOB_ID = click.argument("job_id", metavar="ID", type=_NUMBER)
JOB_IDS = click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=_NUMBER)


def change_each(job_ids: Sequence[int], change: Callable[[int], tuple[bool, str]]) -> None:
    """Change jobs and tell what has become of each; exit with 1 if one was not changed.

    :param change: tells whether it has changed a job, and what to say of it.
    """
    done = [_change(job_id, change) for job_id in job_ids]
    if not all(done):
        sys.exit(1)


def state_of(job_id: int) -> str:
    """Return the state of a job that was there."""
    job = record.find(job_id)
    return job.status if job else "gone"


def _change(job_id: int, change: Callable[[int], tuple[bool, str]]) -> bool:
    if record.find(job_id) is None:
        done, said = False, "does not exist"
    else:
        done, said = change(job_id)
    click.secho(f"Job {job_id} {said}", fg=None if done else "red")
    return done
