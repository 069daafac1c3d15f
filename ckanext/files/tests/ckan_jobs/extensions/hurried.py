"""A plugin of CKAN for xloader without its sleeps, which notes when it would have slept.

xloader 2.6.0 sleeps five seconds when a job has begun before its resource is committed.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files.shared import with_task_queue

OPTION = "ckanext.files.tests.sleeps"
"""Names the file with a line for each sleep."""


class HurriedPlugin(p.SingletonPlugin):
    """Replaces the module ``time`` in xloader's jobs."""

    p.implements(p.IConfigurable)

    def configure(self, config: Any) -> None:
        from ckanext.xloader import jobs  # pyright: ignore[reportMissingImports]

        def note(seconds: float) -> None:
            with Path(config[OPTION]).open("a") as file:
                file.write(f"{seconds}\n")

        jobs.time = SimpleNamespace(time=time.time, sleep=note)


class HeldPlugin(p.SingletonPlugin):
    """Makes ``resource_create`` one commit with the jobs that plugins ask for after it.

    CKAN commits the resource before it calls ``after_resource_create``, where xloader asks.
    """

    p.implements(p.IActions)

    def get_actions(self) -> dict[str, Any]:
        return {"resource_create": resource_create}


@tk.chained_action
@with_task_queue(eager=True)
def resource_create(next_action: Any, context: Any, data_dict: Any) -> Any:
    """Hold from the start."""
    return next_action(context, data_dict)
