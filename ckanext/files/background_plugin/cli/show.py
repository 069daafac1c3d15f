"""``ckan files background show``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from textwrap import indent
from typing import Any

import click
from ckan import model

from ckanext.files.background import record

from .each import JOB_ID
from .moment import moment
from .reason import reason


@click.command()
@JOB_ID
def show(job_id: int) -> None:
    """Show all that is known of a job.

    Its arguments, what has happened to it, and the traceback of its last
    failure. Times are in UTC.
    """
    job = record.find(job_id)
    if job is None:
        raise click.ClickException(f"Job {job_id} does not exist")
    click.echo(f"Job {job.id}: {job.task}\n")
    for name, value in _facts(job):
        if value not in (None, ""):
            click.echo(f"  {name:<14}{value}")
    _print_block("Arguments", _arguments(job.id))
    events = [f"{moment(event.at)}  {event.type}" for event in record.history(job.id)]
    _print_block("Events", "\n".join(events))
    _print_block("Error", job.error)
    _print_block("Traceback", job.traceback)
    model.Session.rollback()


def _facts(job: record.Record) -> Iterable[tuple[str, Any]]:
    holder = record.holder(job.lock) if job.locked and job.lock else None
    yield "status", job.status
    yield "", reason(job)
    yield "queue", job.queue
    yield "priority", job.priority
    yield "lock", f"{job.lock} (job {holder} has it)" if holder else job.lock
    yield "queueing lock", job.queueing_lock
    yield "asked by", _name(job.user_id)
    yield "task id", job.task_id
    yield "created", moment(job.created)
    yield "due", moment(job.scheduled_at)
    yield "started", moment(job.started)
    yield "finished", moment(job.finished)
    yield "attempts", job.attempts
    yield "steps", job.step
    yield "progress", None if job.percent is None else f"{job.percent:.0f} %"
    yield "to end", "yes" if job.abort_requested else None


def _name(user_id: str | None) -> str | None:
    user = model.User.get(user_id) if user_id else None
    return user.name if user else user_id


def _arguments(job_id: int) -> str:
    args = record.arguments(job_id)
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in args.items()}
    return "\n".join(f"{name} = {value}" for name, value in shown.items())


def _print_block(title: str, text: str | None) -> None:
    if text:
        click.echo(f"\n{title}\n{indent(text.rstrip(), '  ')}")
