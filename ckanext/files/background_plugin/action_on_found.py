"""Actions on all jobs that a search finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import Context, Schema

from ckanext.files.background import bulk
from ckanext.files.background.search import Count, Search

from . import schema
from .results import commit, explained, filters_of, sees_all, validated

__all__ = ["files_jobs_cancel", "files_jobs_retry"]


@explained()
def files_jobs_cancel(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """End all background jobs that match filters, as ``files_job_cancel`` ends one.

    A user ends own jobs that no extension has asked for with ``toolkit.enqueue_job``, a sysadmin
    the jobs of all users. Without a filter these are all jobs that wait or run. For example, all
    jobs of a task that wait::

        tk.get_action("files_jobs_cancel")(
            {"user": "admin"}, {"task": "ckanext.example.tasks.praise", "status": "todo"}
        )

    The filters are as in ``files_job_list``: ``id``, ``status``, ``task``, ``queue``, ``task_id``,
    ``user_id``, ``text`` and ``before``. A blank filter, and a parameter that the action does not
    know, is an error: it may be a slip, and without it the action would reach more jobs. Jobs for
    which is asked after the call are not changed; for those after an earlier look, give ``before``.

    The action changes a few hundred jobs at a time and commits after each time, unless the context
    has ``defer_commit``. An error leaves what was changed before.

    :param now: interrupt the steps that run, false by default
    :type now: bool, optional
    :param most: stop after about so many jobs, 10000 by default
    :type most: int, optional

    :returns: ``changed``, the number of jobs that were changed, and ``more``, true if the action
        has stopped before it has seen all jobs: call it again
    :rtype: dictionary
    """
    tk.check_access("files_jobs_cancel", context, data_dict)
    data = _validated(context, data_dict, schema.jobs_cancel())
    most, now, before = data.pop("most"), data.pop("now"), data.pop("before", None)
    return _change(context, bulk.cancel_found(_changeable(context, data), now, before), most)


@explained()
def files_jobs_retry(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Have all background jobs run again that match filters and failed, were cancelled or aborted.

    As ``files_job_retry`` does with one. For example, all jobs that failed while a server was
    down::

        tk.get_action("files_jobs_retry")({"user": "admin"}, {"status": "failed"})

    Filters, commits and result are as in ``files_jobs_cancel``.

    :param most: stop after about so many jobs, 10000 by default
    :type most: int, optional

    :returns: ``changed`` and ``more``
    :rtype: dictionary
    """
    tk.check_access("files_jobs_retry", context, data_dict)
    data = _validated(context, data_dict, schema.jobs_retry())
    most, before = data.pop("most"), data.pop("before", None)
    return _change(context, bulk.retry_found(_changeable(context, data), before), most)


@explained()
def count_changeable(
    action: str, context: Context, data_dict: dict[str, Any]
) -> tuple[Count, int | None]:
    """Count the jobs that one of these actions would change, for a question before it.

    :param action: ``cancel`` or ``retry``.
    :param data_dict: filters, as for the action.
    :returns: also the filter ``before`` for the change, so that it means no later jobs: by default
        it is after the newest job that is there now. None if there are no jobs.
    :raises NotAuthorized: the user may not call the action so.
    :raises ValidationError: a filter is invalid.
    """
    tk.check_access(f"files_jobs_{action}", context, data_dict)
    data = _validated(context, data_dict, schema.filters(schema.refuse_blank))
    before = data.pop("before", None)
    narrowed = bulk.to_cancel if action == "cancel" else bulk.to_retry
    search = Search(narrowed(_changeable(context, data)))
    end = before or search.find(1).end
    return search.count(before=before), end


def _validated(context: Context, data_dict: dict[str, Any], wanted: Schema) -> dict[str, Any]:
    unknown = [name for name in data_dict if name.startswith("__") or name not in wanted]
    if unknown:
        sentence = tk._("The action has no such parameter")
        raise tk.ValidationError({name: [sentence] for name in unknown})
    return validated(context, data_dict, wanted)


def _changeable(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    """Return the filters of a search among the jobs that the user may change."""
    filters = filters_of(context, data)
    return filters if sees_all(context) else {**filters, "has_rq_id": False}


def _change(context: Context, batches: Iterator[int], most: int) -> dict[str, Any]:
    changed = 0
    for number in batches:
        commit(context)
        changed += number
        if changed >= most:
            return {"changed": changed, "more": True}
    return {"changed": changed, "more": False}
