"""``ckan files background worker``."""

from __future__ import annotations

import difflib
import io
import logging
import sys
from collections.abc import Sequence
from typing import Any

import click
from ckan import model
from ckan.common import config

from ckanext.files.background import overview, schema
from ckanext.files.background.discovery import not_loaded
from ckanext.files.background.registry import all_tasks
from ckanext.files.background.worker import WorkerOptions, run_processes

_PREFIX = "ckanext.files.background"


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
    metavar="QUEUE...",
    help="Work for these queues only; for all without it.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, each with its own threads.",
)
@click.option("--wait/--no-wait", default=True, help="Go on, or end when nothing waits any more.")
@click.option("-v", "--verbose", is_flag=True, help="Log each step.")
@click.argument("more_queues", nargs=-1, metavar="")
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

    On SIGTERM and Ctrl-C it lets the steps that run end, and hands the jobs that
    go on to other workers.
    Several queues: "-q mails -q reports" or "-q mails reports".
    """
    chosen = (*queues, *more_queues)
    options = WorkerOptions(
        queues=chosen,
        concurrency=concurrency,
        wait=wait,
        timeout=config[f"{_PREFIX}.timeout"],
        shutdown_timeout=config[f"{_PREFIX}.shutdown_timeout"],
        frozen_after=config[f"{_PREFIX}.frozen_after"],
        most_rescues=config[f"{_PREFIX}.most_rescues"],
    )
    logging.getLogger("ckanext.files.background").setLevel(
        logging.DEBUG if verbose else logging.INFO
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what tasks print shall be seen at once, also in a log file
        sys.stdout.reconfigure(line_buffering=True)
    click.echo("Tasks loaded:")
    for task in all_tasks():
        click.echo(f"  {task.name}")
    if not_loaded:
        click.echo("Tasks left out:")
    for reason in not_loaded:
        click.echo(f"  {reason}")
    _warn_of_unused(chosen)
    run_processes(context.meta["flask_app"], options, processes)


def _warn_of_unused(queues: Sequence[str]) -> None:
    """Tell of queues that may be misspelt."""
    if not queues:
        return
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        unused = [queue for queue in queues if not overview.is_used(connection, queue)]
    for queue in unused:
        similar = difflib.get_close_matches(queue, overview.named_queues(), n=1)
        hint = f" Did you mean {similar[0]}?" if similar else ""
        click.secho(
            f"Nothing was ever sent to the queue {queue}, and no task or schedule names it.{hint}",
            fg="yellow",
            err=True,
        )
