"""``ckan files background`` ``pause`` and ``resume``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import click
from ckan import model

from ckanext.files.background import queues
from ckanext.files.cli.options import JSON
from ckanext.files.cli.output import print_json, warn

from .completion import complete_queues
from .names import check_queues

_QUEUES = click.argument(
    "names", metavar="QUEUE...", nargs=-1, required=True, shell_complete=complete_queues
)


@click.command()
@click.option("--new", is_flag=True, help="Pause also queues that do not exist before a first job.")
@JSON
@_QUEUES
def pause(names: Sequence[str], new: bool, as_json: bool) -> None:
    """Let the jobs of queues wait, until you resume the queues.

    Steps that run end, and no other one begins, in any worker, also after it was
    started again. New jobs wait, also jobs of schedules.

    A name that no queue has is an error, and no queue is paused. With --new you can
    pause a queue before its first job.

    The exit code is 1 if a queue is paused already.
    """
    if not new:
        check_queues(names, "To pause a queue before its first job, add --new.")
    changed = _change(names, queues.pause)
    if not queues.wait_for_claims():
        warn("A worker may still begin a step that it has just claimed")
    _print(changed, "is paused", "is paused already", as_json=as_json)


@click.command()
@JSON
@_QUEUES
def resume(names: Sequence[str], as_json: bool) -> None:
    """Have workers run the jobs of paused queues again.

    A name that no queue has is an error, and no queue is resumed.

    The exit code is 1 if a queue is not paused.
    """
    check_queues(names)
    _print(_change(names, queues.resume), "is resumed", "is not paused", as_json=as_json)


def _change(names: Sequence[str], change: Callable[[str], bool]) -> dict[str, bool]:
    """Change queues; return whether each was changed."""
    changed = {name: change(name) for name in names}
    model.Session.commit()
    return changed


def _print(changed: Mapping[str, bool], done: str, not_done: str, *, as_json: bool) -> None:
    """Print what has become of queues; exit with 1 if one was not changed."""
    if as_json:
        queues_ = [{"queue": name, "changed": is_done} for name, is_done in changed.items()]
        print_json({"queues": queues_})
    else:
        for name, is_done in changed.items():
            text, color = (done, None) if is_done else (not_done, "red")
            click.secho(f"The queue {name} {text}", fg=color)
    if not all(changed.values()):
        sys.exit(1)
