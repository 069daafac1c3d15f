"""Actions of ckanext-harvest, chained: a harvest job and the job that gathers are one commit."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.queue import with_task_queue

from .recovery import recover


@tk.chained_action
@with_task_queue(eager=True)
def harvest_job_create(next_action: Any, context: Any, data_dict: dict[str, Any]) -> Any:
    """Create a harvest job and send it to the gather queue, in one commit."""
    return next_action(context, data_dict)


@tk.chained_action
@with_task_queue(eager=True)
def harvest_send_job_to_gather_queue(
    next_action: Any, context: Any, data_dict: dict[str, Any]
) -> Any:
    """Let a harvest job run, and send it to the gather queue, in one commit."""
    return next_action(context, data_dict)


@tk.chained_action
def harvest_jobs_run(next_action: Any, context: Any, data_dict: dict[str, Any]) -> Any:
    """Let what has lost its job go on, before finished harvest jobs are marked."""
    tk.check_access("harvest_jobs_run", context, data_dict)
    recover()
    return next_action(context, data_dict)


ACTIONS: dict[str, Any] = {
    action.__name__: action
    for action in (harvest_job_create, harvest_send_job_to_gather_queue, harvest_jobs_run)
}
