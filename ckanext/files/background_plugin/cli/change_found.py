"""``cancel`` and ``retry`` of all jobs that match filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import click
from ckan import model

from ckanext.files.background.search import Count, Search
from ckanext.files.cli.output import ProgressBar, print_json

YES = click.option("-y", "--yes", is_flag=True, help="Do not ask before many jobs are changed.")


@dataclasses.dataclass(frozen=True)
class Change:
    """What a command does with all jobs that match filters."""

    verb: str
    """Of the question before."""

    label: str
    """Of the progress."""

    done: str
    """What has happened."""

    filters: Mapping[str, Any]
    """They match only jobs that can be changed so."""

    batches: Iterator[int]
    """Changes the jobs that are there when it is made, and yields how many after each batch."""


def change_found(change: Change, *, yes: bool, as_json: bool) -> None:
    """Count the jobs, ask, change them, and print how many were changed."""
    if as_json and not yes:
        raise click.UsageError("With --json the command cannot ask: give it --yes, too")
    count = Search(change.filters).count()
    model.Session.rollback()
    if not yes and (count.number or not count.is_exact):
        click.confirm(f"{change.verb} {_number_of(count)}?", abort=True, err=True)
    changed = 0
    with ProgressBar(change.label) as bar:
        bar.begin(count.number if count.is_exact else None)
        for number in change.batches:
            model.Session.commit()
            changed += number
            bar.add(number)
    if as_json:
        print_json({"changed": changed})
    else:
        click.echo(f"{change.done}: {_number_of(Count(changed, is_exact=True))}")


def number_of(count: int) -> str:
    """Return a number of jobs in words."""
    return "1 job" if count == 1 else f"{count} jobs"


def _number_of(count: Count) -> str:
    if count.is_exact:
        return number_of(count.number)
    return f"more than {count.number} jobs" if count.number else "an unknown number of jobs"
