"""``ckan files background retry``."""

from __future__ import annotations

from collections.abc import Sequence

import click
from ckan import model

from ckanext.files.background import control

from .each import JOB_IDS, change_each, state_of


@click.command()
@JOB_IDS
def retry(job_ids: Sequence[int]) -> None:
    """Have jobs run again that failed, were cancelled or aborted.

    They go on after their last finished steps.

    The exit code is 1 if a job is none of these, or does not exist.
    """
    change_each(job_ids, _retry)


def _retry(job_id: int) -> tuple[bool, str]:
    again = control.retry(job_id)
    model.Session.commit()
    if again:
        return True, "waits to run again"
    return False, f"cannot run again: it is {state_of(job_id)}"
