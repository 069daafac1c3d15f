"""``ckan files background cancel``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import click
from ckan import model

from ckanext.files.background import control

from .each import JOB_IDS, change_each, state_of


@click.command()
@click.option("--now", is_flag=True, help="Interrupt the steps that run, and undo them.")
@JOB_IDS
def cancel(job_ids: Sequence[int], now: bool) -> None:
    """End jobs that wait or run.

    A job that runs ends with its present step, unless that is its last one; a
    task may end sooner by asking should_abort(). With --now the step is
    interrupted as by a timeout, and nothing of it stays.

    The exit code is 1 if a job has ended already, or does not exist.
    """
    change_each(job_ids, partial(_cancel, now=now))


def _cancel(job_id: int, now: bool) -> tuple[bool, str]:
    ended = control.cancel(job_id, now)
    model.Session.commit()
    if ended is None:
        return False, f"has ended already: it is {state_of(job_id)}"
    if ended == "doing":
        return True, "is interrupted" if now else "is asked to end: it runs"
    return True, f"is {ended}"
