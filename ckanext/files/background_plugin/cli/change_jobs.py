"""``ckan files background`` ``send``, ``cancel``, ``retry`` and ``purge``."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click
from ckan import model

from ckanext.files import maintenance
from ckanext.files.background import (
    ArgumentError,
    UnknownTaskError,
    bulk,
    control,
    queues,
    record,
)
from ckanext.files.background.call import find_task
from ckanext.files.background_plugin.words import STATE_WORDS
from ckanext.files.cli.options import DRY_RUN, JSON
from ckanext.files.cli.output import ProgressBar, print_json, print_numbers
from ckanext.files.maintenance.arguments import check_known
from ckanext.files.maintenance.errors import MaintenanceError

from .change_found import YES, Change, change_found
from .completion import complete_tasks
from .filters import StateChoice, given, with_filters
from .show_jobs import read_id

_ARGUMENT = re.compile(r"(?P<name>\w+)(?P<kind>[=:])(?P<value>.*)", re.DOTALL)
_JOB_IDS = click.argument("job_ids", metavar="[ID]...", nargs=-1, type=read_id)


@click.command()
@JSON
@click.argument("task", shell_complete=complete_tasks)
@click.argument("arguments", metavar="[NAME=TEXT | NAME:JSON]...", nargs=-1)
def send(task: str, arguments: Sequence[str], as_json: bool) -> None:
    """Send a job: a worker runs a task with these arguments.

    Write arguments as for ckanapi: text after "=", anything else as JSON after
    ":". So write days:60 for a number. For example:

    ckan files background send ckanext.files.maintenance.delete_unattached days:60
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name, value = _read_argument(argument)
        if name in values:
            raise click.BadParameter(f"{name} is given twice")
        values[name] = value
    try:
        found = find_task(task)
    except UnknownTaskError as error:
        raise click.BadParameter(str(error)) from error
    if found.path.startswith(f"{maintenance.__name__}."):
        _check_maintenance_arguments(values)
    try:
        job = found.delay(**values)
    except ArgumentError as error:
        raise click.BadParameter(str(error)) from error
    place = _place(job.id)
    model.Session.commit()
    if as_json:
        print_json({"id": job.id, "task": task, "args": values})
    else:
        click.echo(f"Job {job.id} waits in {place}")


def _check_maintenance_arguments(values: Mapping[str, Any]) -> None:
    """Check the arguments of a task of maintenance, whose job would fail later."""
    for name, value in values.items():
        try:
            check_known(name, value)
        except MaintenanceError as error:
            raise click.BadParameter(f"{error}{_json_hint(name, value)}") from error


def _json_hint(name: str, value: Any) -> str:
    """Return the advice to write as JSON what was written as text."""
    try:
        check_known(name, json.loads(value))
    except (TypeError, ValueError, RecursionError, MaintenanceError):
        return ""
    return f", so write {name}:{value}"


def _place(job_id: int) -> str:
    job = record.find(job_id)
    queue = job.queue if job else ""
    pause = ", which is paused" if queue in queues.paused() else ""
    return f"the queue {queue}{pause}"


def _read_argument(argument: str) -> tuple[str, Any]:
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        raise click.BadParameter(f"{argument} is neither NAME=TEXT nor NAME:JSON")
    name, kind, value = match.groups()
    if kind == "=":
        return name, value
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{value} is no JSON ({error}); text: {name}={value}") from error


@click.command()
@click.option("--now", is_flag=True, help="Interrupt the steps that run, and undo them.")
@with_filters
@YES
@JSON
@_JOB_IDS
def cancel(
    job_ids: Sequence[int | str], now: bool, yes: bool, as_json: bool, **options: Any
) -> None:
    """End jobs that wait or run: those with these IDs, or all that match filters.

    A job that runs ends with its present step, unless that is its last one; a
    task may end sooner by asking should_abort(). With --now the worker interrupts
    the step as after a timeout, and nothing of the step stays.

    Before it ends all jobs that match filters, the command prints how many there
    are, and asks. For example:

    ckan files background cancel --queue mails --status waiting

    The exit code is 1 if a job has ended already, or does not exist.
    """
    filters = given(options)

    def found() -> Change:
        batches = bulk.cancel_found(filters, now)
        words = ("Cancel", "Cancelling jobs", "Being cancelled")
        return Change(*words, bulk.to_cancel(filters), batches)

    _change(job_ids, filters, partial(_cancel, now=now), found, yes=yes, as_json=as_json)


def _cancel(job_id: int, now: bool) -> tuple[bool, str]:
    ended = control.cancel(job_id, now)
    model.Session.commit()
    if ended is None:
        return False, f"has ended already: it is {_state(job_id)}"
    if ended == "doing":
        return True, "is interrupted" if now else "is asked to end: it runs"
    return True, f"is {STATE_WORDS[ended].word}"


@click.command()
@with_filters
@YES
@JSON
@_JOB_IDS
def retry(job_ids: Sequence[int | str], yes: bool, as_json: bool, **options: Any) -> None:
    """Have jobs run again that failed, were cancelled or aborted.

    Those with these IDs, or all that match filters: of these the command prints
    how many there are, and asks. They go on after their last finished steps. For
    example:

    ckan files background retry --status failed --text "ConnectionError"

    The exit code is 1 if a job is in another state, or does not exist.
    """
    filters = given(options)

    def found() -> Change:
        batches = bulk.retry_found(filters)
        words = ("Retry", "Retrying jobs", "Will run again")
        return Change(*words, bulk.to_retry(filters), batches)

    _change(job_ids, filters, _retry, found, yes=yes, as_json=as_json)


def _retry(job_id: int) -> tuple[bool, str]:
    again = control.retry(job_id)
    model.Session.commit()
    if again:
        return True, "waits to run again"
    return False, f"cannot run again: it is {_state(job_id)}"


def _change(
    job_ids: Sequence[int | str],
    filters: Mapping[str, Any],
    one: Callable[[int], tuple[bool, str]],
    found: Callable[[], Change],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Change jobs with IDs, or those that match filters, which are looked for only then."""
    if bool(job_ids) == bool(filters):
        raise click.UsageError("Give either IDs of jobs, or filters such as --status failed")
    if filters:
        change_found(found(), yes=yes, as_json=as_json)
    else:
        _change_each(job_ids, one, as_json=as_json)


def _change_each(
    job_ids: Sequence[int | str], change: Callable[[int], tuple[bool, str]], *, as_json: bool
) -> None:
    """Change jobs, and print what has become of each; exit with 1 if a job was not changed.

    :param change: returns whether it has changed a job, and what to print.
    """
    jobs: list[dict[str, Any]] = []
    for job_id in job_ids:
        job = record.find(job_id)
        done, text = change(job.id) if job else (False, "does not exist")
        shown = job.id if job else job_id
        jobs.append({"id": shown, "changed": done, "text": text})
        if not as_json:
            click.secho(f"Job {shown} {text}", fg=None if done else "red")
    if as_json:
        print_json({"jobs": jobs})
    if not all(job["changed"] for job in jobs):
        sys.exit(1)


def _state(job_id: int) -> str:
    job = record.find(job_id)
    return STATE_WORDS[job.status].word if job else "gone"


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0, max=36500),
    required=True,
    metavar="DAYS",
    help="Only jobs whose last event is older.",
)
@click.option(
    "--status",
    "states",
    multiple=True,
    type=StateChoice(control.ENDED),
    help="Only jobs in this state; may be given several times.",
)
@DRY_RUN
@JSON
def purge(days: float, states: Sequence[str], dry_run: bool, as_json: bool) -> None:
    """Delete jobs that have ended, with their progress and events.

    Jobs that wait or run stay. The command commits after each batch: you can
    interrupt it, and run it while workers run.
    """
    if math.isnan(days):
        raise click.BadParameter("DAYS is no number")
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=days)
    counts = Counter(dict.fromkeys(states or control.ENDED, 0))
    with ProgressBar("Counting jobs" if dry_run else "Deleting jobs") as bar:
        bar.begin()
        for batch in control.purge(before, list(counts), dry_run):
            counts.update(batch)
            bar.add(sum(batch.values()))
    if as_json:
        print_json({"dry_run": dry_run, "deleted": sum(counts.values()), "jobs": counts})
    else:
        done = "to be deleted" if dry_run else "deleted"
        print_numbers({**counts, done: sum(counts.values())})
