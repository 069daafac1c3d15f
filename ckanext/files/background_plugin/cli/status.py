"""``ckan files background status``."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from ckan import model
from ckan.common import config

from ckanext.files.background import overview, schema
from ckanext.files.background.discovery import not_loaded
from ckanext.files.background.overview import QueueState, WorkerState

from .moment import moment


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def status(as_json: bool) -> None:
    """Tell which workers live, and how many jobs there are.

    The exit code is 1 when the tables are missing or out of date, and when a
    queue has jobs that could run now and no worker works for it.
    """
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        workers = overview.workers(connection, config["ckanext.files.background.frozen_after"])
        queues = overview.queues(connection, workers)
    (_print_json if as_json else _print)(workers, queues)
    if any(queue.is_stuck for queue in queues):
        sys.exit(1)


def _print_json(workers: Sequence[WorkerState], queues: Sequence[QueueState]) -> None:
    shown = {
        "schema": schema.SCHEMA,
        "workers": [dataclasses.asdict(worker) for worker in workers],
        "queues": [dataclasses.asdict(queue) for queue in queues],
        "not_loaded": not_loaded,
        "schedules": [dataclasses.asdict(each) for each in overview.schedules()],
    }
    click.echo(json.dumps(shown, indent=2, default=lambda at: at.isoformat()))


def _print(workers: Sequence[WorkerState], queues: Sequence[QueueState]) -> None:
    click.echo(f"The tables in schema {schema.SCHEMA} are up to date")
    click.echo(f"\nWorkers: {sum(worker.state == 'alive' for worker in workers)}")
    for worker in workers:
        _print_worker(worker)
    click.echo("\nJobs")
    for queue in queues:
        for state, count in queue.jobs.items():
            click.echo(f"  {queue.queue}  {state}: {count}")
    if not_loaded:
        click.echo("\nTasks left out")
    for reason in not_loaded:
        click.secho(f"  {reason}", fg="yellow")
    _print_schedules()
    for queue in filter(lambda queue: queue.is_stuck, queues):
        click.secho(
            f"\nJobs of the queue {queue.queue} that could run now: {queue.due}. "
            "No worker works for it.",
            fg="red",
        )


def _print_schedules() -> None:
    schedules = overview.schedules()
    if schedules:
        click.echo("\nSchedules")
    for each in schedules:
        name = " ".join(filter(None, (each.task, each.periodic_id)))
        click.echo(f"  {name}  {each.cron} ({each.timezone}), next: {each.next:%F %T %z}")


def _print_worker(worker: WorkerState) -> None:
    place = f", process {worker.pid} on {worker.host}" if worker.host else ""
    click.echo(
        f"  {worker.id}  {worker.state}{place}, last sign of life {worker.silence:.0f} s ago"
    )
    if worker.since:
        queues = ", ".join(worker.queues or ["all"])
        click.echo(
            f"      since {moment(worker.since)}, queues: {queues}, "
            f"steps at a time: {worker.concurrency}"
        )
    for job in worker.running:
        click.echo(f"      runs job {job['id']}: {job['task']}")
