"""Names of queues and tasks, which a shell completes."""

from __future__ import annotations

from typing import Any

import click
from ckan import model
from click.shell_completion import CompletionItem

from ckanext.files.background import BackgroundError, overview, schema
from ckanext.files.background.call import all_tasks
from ckanext.files.cli.options import complete


class QueueName(click.ParamType):
    """The name of a queue: one that has jobs or is paused, or that a task or schedule names."""

    name = "queue"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete([*overview.named_queues() | _queues_in_use()], incomplete)


def _queues_in_use() -> set[str]:
    engine: Any = model.Session.get_bind()
    try:
        with engine.connect() as connection:
            schema.check(connection)
            return {queue.queue for queue in overview.queues(connection, [])}
    except BackgroundError:
        return set()  # without tables no queue is in use


class TaskName(click.ParamType):
    """The name of a task."""

    name = "task"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete([task.name for task in all_tasks()], incomplete)
