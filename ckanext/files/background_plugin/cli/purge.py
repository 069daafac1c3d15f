"""``ckan files background purge``."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence

import click

from ckanext.files.background.purge import ENDED
from ckanext.files.background.purge import purge as purge_jobs


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0, max=36500),
    required=True,
    metavar="DAYS",
    help="Only jobs to which nothing has happened for so many days.",
)
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice(ENDED),
    help="Only jobs of this state; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
def purge(days: float, states: Sequence[str], dry_run: bool) -> None:
    """Delete jobs that have ended, with all that is known of them.

    Jobs that wait or run stay. Goes on in batches: it can be interrupted, and
    run while workers work.
    """
    if math.isnan(days):
        raise click.BadParameter("DAYS is no number")
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=days)
    counts: Counter[str] = Counter()
    for batch in purge_jobs(before, states or ENDED, dry_run):
        counts += batch
    done = "to be deleted" if dry_run else "deleted"
    for state in states or ENDED:
        click.echo(f"{state:<15}{counts[state]:>10}")
    click.echo(f"{done:<15}{sum(counts.values()):>10}")
