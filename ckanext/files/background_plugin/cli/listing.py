"""``ckan files background list``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from ckan import model

from ckanext.files.background import record

from .moment import moment
from .reason import reason

_HEAD = ("id", "status", "created", "queue", "task", "steps", "progress", "remark", "arguments")
_WIDEST = 80


@click.command("list")
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice(record.STATES),
    help="Only jobs of this state; may be given several times.",
)
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--task", help="Only jobs of the task of this name.")
@click.option(
    "--limit",
    type=click.IntRange(1, 2**31 - 1),
    default=20,
    show_default=True,
    help="The most jobs to list.",
)
def list_jobs(states: Sequence[str], queue: str | None, task: str | None, limit: int) -> None:
    """List jobs, the newest first.

    The remark is what a job waits for, how often it was tried, and what it tells
    of its progress or failed with. Long remarks and arguments are cut: see show.
    Times are in UTC.
    """
    chosen = {"status": list(states), "queue": queue, "task": task}
    filters: dict[str, Any] = {name: value for name, value in chosen.items() if value}
    jobs = record.page(filters, limit)
    if jobs:
        _print_table([_HEAD, *map(_row, jobs)])
    hidden = record.count(filters) - len(jobs)
    if hidden:
        click.echo(f"And {hidden} older: see --limit")
    elif not jobs:
        click.echo("There are no such jobs.")
    model.Session.rollback()


def _row(job: record.Record) -> tuple[str, ...]:
    percent = "" if job.percent is None else f"{job.percent:.0f} %"
    return (
        str(job.id),
        job.status,
        moment(job.created),
        job.queue,
        job.task,
        str(job.step),
        percent,
        _cut(reason(job)),
        _cut(job.args_summary),
    )


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}..."


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
