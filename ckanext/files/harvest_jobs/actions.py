"""Actions of ckanext-harvest, chained: a harvest job and the job that gathers are one commit."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckanext.harvest.logic.action import (  # pyright: ignore[reportMissingImports]
    create,
    update,
)

from ckanext.files.chained import chain_core_action
from ckanext.files.queue.core import held_action

from .abort import harvest_job_abort
from .recovery import recover


def _with_recovery(original: Any) -> Any:
    """Let what has lost its job go on, before finished harvest jobs are marked."""

    def chained(next_action: Any, context: Any, data_dict: dict[str, Any]) -> Any:
        tk.check_access(original.__name__, context, data_dict)
        recover()
        return next_action(context, data_dict)

    return chain_core_action(original, chained)


ACTIONS: dict[str, Any] = {
    **{
        original.__name__: held_action(original)
        for original in (
            create.harvest_job_create,
            create.harvest_job_create_all,
            update.harvest_send_job_to_gather_queue,
        )
    },
    "harvest_jobs_run": _with_recovery(update.harvest_jobs_run),
    "harvest_job_abort": harvest_job_abort,
}
