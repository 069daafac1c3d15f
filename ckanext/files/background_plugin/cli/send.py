"""``ckan files background send``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import click
from ckan import model

from ckanext.files.background.registry import find

_ARGUMENT = re.compile(r"(?P<name>\w+)(?P<kind>[=:])(?P<value>.*)", re.DOTALL)


@click.command()
@click.argument("task")
@click.argument("arguments", metavar="[NAME=TEXT | NAME:JSON]...", nargs=-1)
def send(task: str, arguments: Sequence[str]) -> None:
    """Ask for a job of a task.

    Arguments are written as for ckanapi: text after "=", anything else as JSON
    after ":". For example:

    ckan files background send ckanext.files.maintenance.delete_unattached days:60
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name, value = _read(argument)
        if name in values:
            raise click.BadParameter(f"{name} is given twice")
        values[name] = value
    job = find(task).delay(**values)
    model.Session.commit()
    click.echo(f"Job {job.id} waits for a worker")


def _read(argument: str) -> tuple[str, Any]:
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
