"""``ckan files background`` ``pause`` and ``resume``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click
from ckan import model

from ckanext.files.background import queues

from .workers import warn_of_unused

_QUEUES = click.argument("names", metavar="QUEUE...", nargs=-1, required=True)


@click.command()
@_QUEUES
def pause(names: Sequence[str]) -> None:
    """Let the jobs of queues wait, until you resume the queues.

    Steps that run end, and no other one begins, in any worker, also after it was
    started again. New jobs wait, also jobs of schedules.

    The exit code is 1 if a queue is paused already.
    """
    warn_of_unused(names)
    changed = _change(names, queues.pause, "is paused", "is paused already")
    if not queues.wait_for_claims():
        click.secho("A worker may still begin a step that it has just claimed", fg="yellow")
    sys.exit(0 if changed else 1)


@click.command()
@_QUEUES
def resume(names: Sequence[str]) -> None:
    """Have workers run the jobs of paused queues again.

    The exit code is 1 if a queue is not paused.
    """
    sys.exit(0 if _change(names, queues.resume, "is resumed", "is not paused") else 1)


def _change(names: Sequence[str], change: Callable[[str], bool], done: str, not_done: str) -> bool:
    """Change queues, and print what has become of each; return whether all were changed."""
    changed = {name: change(name) for name in names}
    model.Session.commit()
    for name, was_changed in changed.items():
        told = done if was_changed else not_done
        click.secho(f"The queue {name} {told}", fg=None if was_changed else "red")
    return all(changed.values())
