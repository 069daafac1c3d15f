"""``cancel`` and ``retry`` of all jobs that match filters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from ckan import model

from ckanext.files.background.search import Count, Search
from ckanext.files.cli.output import ProgressBar, print_json

from .filters import number_of

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

    narrow: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Returns filters that match only jobs which can be changed so."""

    batches: Callable[[Mapping[str, Any]], Iterator[int]]
    """Changes the jobs, and yields how many after each batch."""


def change_found(change: Change, filters: Mapping[str, Any], *, yes: bool, as_json: bool) -> None:
    """Count the jobs, ask, change them, and print how many were changed."""
    if as_json and not yes:
        raise click.UsageError("With --json the command cannot ask: give it --yes, too")
    count = Search(change.narrow(filters)).count()
    model.Session.rollback()
    if not yes and (count.number or not count.is_exact):
        click.confirm(f"{change.verb} {number_of(count)}?", abort=True, err=True)
    changed = 0
    with ProgressBar(change.label) as bar:
        bar.begin(count.number if count.is_exact else None)
        for number in change.batches(filters):
            model.Session.commit()
            changed += number
            bar.add(number)
    if as_json:
        print_json({"changed": changed})
    else:
        click.echo(f"{change.done}: {number_of(Count(changed, is_exact=True))}")
