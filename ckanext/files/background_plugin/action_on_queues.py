"""Actions on queues, workers and schedules."""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.common import config
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.background import BackgroundError, counts, overview, queues
from ckanext.files.background import schema as tables

from . import schema
from .results import as_json, commit, explained, in_utc, own_id, sees_all, validated

__all__ = [
    "files_job_rate",
    "files_queue_list",
    "files_queue_pause",
    "files_queue_resume",
    "files_schedule_list",
    "files_worker_list",
]


@tk.side_effect_free
@explained()
def files_queue_list(context: Context, data_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """List the queues of background jobs, with the numbers of their jobs.

    A user gets the queues of own jobs, with the numbers of these, a sysadmin all queues.
    For example, the number of jobs that wait::

        queues = tk.get_action("files_queue_list")({"user": "admin"}, {})
        waiting = sum(queue["jobs"].get("todo", 0) for queue in queues)

    Each number is counted up to 1000: ``more`` lists the states of which there are more. For a user
    only the newest 2000 jobs are counted.

    :param user_id: count the jobs that this user has asked for; id or name
    :type user_id: string, optional

    :returns: a list of dictionaries with ``queue``, ``jobs`` (the number in each state), ``more``,
        ``paused`` (since when the queue is paused, or None) and, for a sysadmin, ``due`` (how many
        jobs could run now and have no worker), ``served`` (whether a worker runs its jobs) and
        ``is_stuck`` (whether jobs could run, and no worker runs them)
    :rtype: list
    """
    tk.check_access("files_queue_list", context, data_dict)
    data = validated(context, data_dict, schema.of_user())
    connection = tables.connection()
    user_id = own_id(context, data.get("user_id"))
    workers = _workers(connection) if sees_all(context) else None
    omitted = ("due", "served", "is_stuck") if workers is None else ()
    return [as_json(each, omitted) for each in overview.queues(connection, workers, user_id)]


@tk.side_effect_free
@explained()
def files_job_rate(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Count the background jobs that ended in each minute of the last hour.

    A user gets the numbers of the newest 2000 own jobs, a sysadmin of all jobs. The action
    counts the last 10000 ends.

    :param user_id: count the jobs that this user has asked for; id or name
    :type user_id: string, optional

    :returns: ``minutes``, 60 dictionaries with ``at`` (when the minute began), ``succeeded`` and
        ``failed``, the oldest first, and ``since``: None, or the time from which on jobs were
        counted when too many have ended in the hour
    :rtype: dictionary
    """
    tk.check_access("files_job_rate", context, data_dict)
    data = validated(context, data_dict, schema.of_user())
    rate = counts.rate(tables.connection(), own_id(context, data.get("user_id")))
    return {
        "minutes": [as_json(minute) for minute in rate.minutes],
        "since": rate.since and in_utc(rate.since),
    }


@tk.side_effect_free
@explained()
def files_worker_list(context: Context, data_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """List the workers, for sysadmins.

    :returns: a list of dictionaries with ``id``, ``state`` (``alive``, ``silent`` or ``dead``),
        ``host``, ``pid``, ``queues`` (empty for all), ``concurrency``, ``since``, ``silence``
        (seconds since the last sign of life) and ``running`` (``id`` and ``task`` of jobs)
    :rtype: list
    """
    tk.check_access("files_worker_list", context, data_dict)
    return [as_json(worker) for worker in _workers(tables.connection())]


@tk.side_effect_free
@explained()
def files_schedule_list(context: Context, data_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """List the schedules of tasks, the next one first, for sysadmins.

    :returns: a list of dictionaries with ``task``, ``periodic_id``, ``cron``, ``timezone``,
        ``next``, and of the last time ``last`` and the id of its ``job``, or None
    :rtype: list
    """
    tk.check_access("files_schedule_list", context, data_dict)
    return [as_json(each) for each in overview.schedules(tables.connection())]


@explained()
def files_queue_pause(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Let the jobs of a queue wait until the queue is resumed, for sysadmins.

    Steps that run end. New jobs wait, also jobs of schedules. When the action has returned, no
    other step of the queue begins, in any worker. (With ``defer_commit`` in the context, that is so
    a moment after the caller's commit.)

    :param queue: the name of the queue
    :type queue: string

    :returns: ``queue``, and ``changed``, false if it was paused already
    :rtype: dictionary
    """
    tk.check_access("files_queue_pause", context, data_dict)
    queue = validated(context, data_dict, schema.queue())["queue"]
    user = model.User.get(context.get("user", ""))
    try:
        changed = queues.pause(queue, user.id if user else None)
    except BackgroundError as error:
        raise tk.ValidationError({"queue": [str(error)]}) from error
    commit(context)
    if not context.get("defer_commit"):
        queues.wait_for_claims()
    return {"queue": queue, "changed": changed}


@explained()
def files_queue_resume(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Have workers run the jobs of a paused queue again, for sysadmins.

    :param queue: the name of the queue
    :type queue: string

    :returns: ``queue``, and ``changed``, false if it was not paused
    :rtype: dictionary
    """
    tk.check_access("files_queue_resume", context, data_dict)
    queue = validated(context, data_dict, schema.queue())["queue"]
    changed = queues.resume(queue)
    commit(context)
    return {"queue": queue, "changed": changed}


def _workers(connection: Any) -> list[overview.WorkerState]:
    return overview.workers(connection, config["ckanext.files.background.frozen_after"])
