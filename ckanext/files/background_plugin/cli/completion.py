"""Names of queues and tasks, which a shell completes."""

from __future__ import annotations

import click
from ckan import model

from ckanext.files.background import BackgroundError, overview, queue_names, schema
from ckanext.files.background.call import all_tasks
from ckanext.files.cli.completion import words_with


def complete_queues(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return names of queues: with jobs, paused ones, and those that a task or schedule names."""
    return words_with(incomplete, _known_queues())


def _known_queues() -> set[str]:
    try:
        return overview.known_queues(schema.connection())
    except BackgroundError:
        return queue_names.in_code()  # without tables no other queue is in use
    finally:
        model.Session.rollback()


def complete_tasks(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return names of tasks."""
    return words_with(incomplete, [task.name for task in all_tasks()])
