"""``ckan files background`` ``worker`` and ``status``."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Sequence
from typing import Any

import click
from ckan import model
from ckan.common import config

from ckanext.files.background import overview, schema
from ckanext.files.background.call import all_tasks
from ckanext.files.background.discovery import not_loaded
from ckanext.files.background.overview import (
    QueueState,
    ScheduleState,
    WorkerState,
    unknown_queues,
)
from ckanext.files.background.worker import configured_options, run_processes
from ckanext.files.background_plugin.words import STATE_WORDS
from ckanext.files.cli.options import JSON
from ckanext.files.cli.output import in_utc, print_json, warn

from .completion import complete_queues

_PREFIX = "ckanext.files.background"

_MOST = 100_000
"""Jobs of a queue in one state that ``status`` counts: whether more jobs wait than an hour ago is
seen, and the answer comes as quickly among many millions."""


@click.command()
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Steps that a process runs at a time.",
)
@click.option(
    "-q",
    "--queue",
    "queues",
    multiple=True,
    shell_complete=complete_queues,
    metavar="QUEUE...",
    help="Run only jobs of these queues; of all without it.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, each with its own threads.",
)
@click.option("--wait/--no-wait", default=True, help="Go on, or end when no job waits any more.")
@click.option("-v", "--verbose", is_flag=True, help="Log each step.")
@click.argument("more_queues", nargs=-1, metavar="", shell_complete=complete_queues)
@click.pass_context
def worker(
    context: click.Context,
    concurrency: int,
    queues: Sequence[str],
    processes: int,
    wait: bool,
    verbose: bool,
    more_queues: Sequence[str],
) -> None:
    """Run jobs until a signal ends it.

    On SIGTERM and Ctrl-C the worker lets its present steps end, and hands jobs
    that have further steps to other workers.
    Several queues: "-q mails -q reports" or "-q mails reports". It warns of a queue
    that does not exist, and waits for its first job.
    """
    chosen = (*queues, *more_queues)
    options = configured_options(queues=chosen, concurrency=concurrency, wait=wait)
    logging.getLogger("ckanext.files.background").setLevel(
        logging.DEBUG if verbose else logging.INFO
    )
    click.echo("Tasks loaded:")
    for task in all_tasks():
        click.echo(f"  {task.name}")
    if not_loaded:
        click.echo("Tasks left out:")
    for reason in not_loaded:
        click.echo(f"  {reason}")
    for sentence in unknown_queues(chosen) if chosen else ():
        warn(sentence)
    run_processes(context.meta["flask_app"], options, processes)


@click.command()
@JSON
def status(as_json: bool) -> None:
    """Show the workers, and the numbers of jobs, each counted up to 100000.

    The exit code is 1 when the tables are missing or out of date, and when a
    queue has jobs that could run now but no worker.
    """
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        workers = overview.workers(connection, config[f"{_PREFIX}.frozen_after"])
        queues = overview.queues(connection, workers, most=_MOST)
        schedules = overview.schedules(connection)
    (_print_json if as_json else _print)(workers, queues, schedules)
    if any(queue.is_stuck for queue in queues):
        sys.exit(1)


def _print_json(
    workers: Sequence[WorkerState],
    queues: Sequence[QueueState],
    schedules: Sequence[ScheduleState],
) -> None:
    shown = {
        "schema": schema.SCHEMA,
        "workers": [dataclasses.asdict(worker) for worker in workers],
        "queues": [dataclasses.asdict(queue) for queue in queues],
        "not_loaded": not_loaded,
        "schedules": [dataclasses.asdict(each) for each in schedules],
    }
    print_json(shown)


def _print(
    workers: Sequence[WorkerState],
    queues: Sequence[QueueState],
    schedules: Sequence[ScheduleState],
) -> None:
    click.echo(f"The tables in schema {schema.SCHEMA} are up to date")
    click.echo(f"\nWorkers: {sum(worker.state == 'alive' for worker in workers)}")
    for worker in workers:
        _print_worker(worker)
    click.echo("\nJobs")
    for queue in queues:
        _print_queue(queue)
    if not_loaded:
        click.echo("\nTasks left out")
    for reason in not_loaded:
        click.secho(f"  {reason}", fg="yellow")
    _print_schedules(schedules)
    for queue in filter(lambda queue: queue.is_stuck, queues):
        click.secho(
            f"\nJobs of the queue {queue.queue} that could run now: {queue.due}. "
            "No worker works for it.",
            fg="red",
        )


def _print_queue(queue: QueueState) -> None:
    for state, count in queue.jobs.items():
        more = "more than " if state in queue.more else ""
        click.echo(f"  {queue.queue}  {STATE_WORDS[state].word}: {more}{count}")
    if queue.paused:
        click.secho(f"  {queue.queue}  is paused since {in_utc(queue.paused)}", fg="yellow")


def _print_worker(worker: WorkerState) -> None:
    place = f", process {worker.pid} on {worker.host}" if worker.host else ""
    click.echo(
        f"  {worker.id}  {worker.state}{place}, last sign of life {worker.silence:.0f} s ago"
    )
    if worker.since:
        queues = ", ".join(worker.queues or ["all"])
        click.echo(
            f"      since {in_utc(worker.since)}, queues: {queues}, "
            f"steps at a time: {worker.concurrency}"
        )
    for job in worker.running:
        click.echo(f"      runs job {job['id']}: {job['title']}")


def _print_schedules(schedules: Sequence[ScheduleState]) -> None:
    if schedules:
        click.echo("\nSchedules")
    for each in schedules:
        name = " ".join(filter(None, (each.task, each.periodic_id)))
        click.echo(f"  {name}  {each.cron} ({each.timezone}), next: {each.next:%F %T %z}")
