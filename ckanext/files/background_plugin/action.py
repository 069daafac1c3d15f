"""Actions on jobs."""

from __future__ import annotations

from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.background import control, record
from ckanext.files.background.search import Search

from . import schema
from .results import commit, dictized, explained, filters_of, validated, whole
from .words import state_word

__all__ = ["files_job_cancel", "files_job_list", "files_job_retry", "files_job_show"]


@tk.side_effect_free
@explained()
def files_job_list(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """List background jobs, the newest first.

    A user gets the jobs that this user asked for, a sysadmin all jobs. For example, the jobs
    that failed last::

        tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed", "limit": 5})

    :param status: one state or a list of them: ``todo``, ``doing``,
        ``succeeded``, ``failed``, ``cancelled``, ``aborted``
    :type status: string or list of strings, optional
    :param task: the name of a task
    :type task: string, optional
    :param queue: the name of a queue
    :type queue: string, optional
    :param task_id: the id that the caller of ``send_task`` has given the job
    :type task_id: string, optional
    :param user_id: the user who asked for the job; id or name
    :type user_id: string, optional
    :param id: one id or a list of them
    :type id: int or list of ints, optional
    :param text: a part of the title, of the name of the task, of the arguments as JSON (with the
        names of the tasks of a chain; unless they have more than 2000 bytes), of the text of the
        progress, or of the first line of the error
    :type text: string, optional
    :param limit: the number of jobs on the page, 20 by default and 1000 at most
    :type limit: int, optional
    :param before: only jobs that are older than the one with this id
    :type before: int, optional
    :param offset: the number of jobs before the page
    :type offset: int, optional

    Give the ``next`` of one page as the ``before`` of the following one: the last page of a million
    jobs comes as fast as the first. For filters that no index answers, such as ``text``, the action
    looks at 2000 jobs at a time. So a page may be short, or empty, and still have a ``next``.

    Arguments may be large: a list has only the text ``args_summary``, the beginning of each of the
    first ten. ``files_job_show`` has the whole arguments, as ``args``.

    :returns: ``count``, the number of jobs that were found, which is counted up to 1000;
        ``count_is_exact``, false if there are or may be more; ``results``, the page: jobs as
        ``files_job_show`` returns them, without ``args`` and ``events``; and ``next``, None on the
        last page
    :rtype: dictionary
    """
    tk.check_access("files_job_list", context, data_dict)
    data = validated(context, data_dict, schema.job_list())
    limit, offset, before = data.pop("limit"), data.pop("offset"), data.pop("before", None)
    search = Search(filters_of(context, data))
    found = search.find(limit, offset, before)
    count = search.count(None if offset or before else found)
    return {
        "count": count.number,
        "count_is_exact": count.is_exact,
        "results": [dictized(context, job) for job in record.read(found.ids)],
        "next": found.next,
    }


@tk.side_effect_free
@explained()
def files_job_show(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Show a background job.

    Times are in UTC. ``percent`` (0 to 100) and ``text`` are the progress, if the task sets it;
    ``step`` is the number of finished steps. A job that waits between two steps is ``doing``.
    ``error`` and ``traceback`` are of the last failure, until a step succeeds; users who are no
    sysadmins get no traceback, and of the error the words of its first line, without the name of
    the exception. ``running`` is true while a worker has the job, ``locked`` while the job waits
    for another one with the same lock, ``paused`` while it waits because its queue is paused,
    ``dependent`` while it waits for the end of jobs on which it depends.

    ``title`` is what its caller calls the job, or else the name of the task. The title of a chain
    names its parts, as in ``convert → publish``, and ``parts`` has ``tasks`` (their full names, of
    the first 100), ``total`` and ``done`` (how many have ended). A job whose task has returned a
    chain keeps its title, and has ``parts`` from then on. ``parts`` of other jobs is None.

    ``rq_id`` is the id that ``toolkit.enqueue_job`` gave the job, which logs and ``job_show`` have,
    and None for jobs of tasks. The ``task`` of such a job is the path of its function, and ``args``
    is empty: arguments may be secret. An ``rq_id`` names the newest job that has or had it, also
    one that ``job_cancel`` has deleted.

    The ``events`` are in the order in which they happened. ``deferred`` and ``deferred_for_retry``
    have the time for which they have put the job off as ``due``, which else is None.
    ``interrupted`` is no failure: a step was lost with its worker, or undone by the database, and
    runs again.

    Users may see the jobs that they asked for. For example, how far one is, from its address in
    the header ``Taskqueue-Location``::

        job = tk.get_action("files_job_show")({"user": "editor"}, {"id": 7})
        done = job["status"] == "succeeded"
        bar = f"{job['percent'] or 0:.0f} % {job['text'] or ''}"

    :param id: the id of the job, or its ``rq_id``
    :type id: int or string

    :returns: ``id``, ``task_id``, ``user_id``, ``task``, ``title``, ``parts``, ``args``,
        ``args_summary``, ``queue``, ``status``, ``priority``, ``lock``, ``queueing_lock``,
        ``scheduled_at``, ``attempts``, ``abort_requested``, ``running``, ``locked``, ``dependent``,
        ``paused``, ``rq_id``, ``step``, ``percent``, ``text``,
        ``error``, ``traceback``, ``created``, ``started``, ``finished``, and ``events``, a list of
        dictionaries with ``type``, ``at`` and ``due``
    :rtype: dictionary
    """
    return whole(context, _find("files_job_show", context, data_dict))


@explained()
def files_job_cancel(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """End a background job.

    A job that waits becomes ``cancelled``, a job between two steps ``aborted``. A job that runs
    becomes ``aborted`` at the end of its present step, unless this is its last step; a task may
    check for this and end earlier. The changes of finished steps stay.

    With ``now`` the worker interrupts the present step as after a timeout, within a second, and
    nothing of the step stays.

    Only sysadmins end jobs of ``toolkit.enqueue_job``, as with ``job_cancel``.

    For example, to end a job and to know whether it has ended::

        job = tk.get_action("files_job_cancel")({"user": "editor"}, {"id": 7})
        if job["status"] == "doing":
            assert job["abort_requested"]  # it runs, and ends soon

    The action commits, unless the context has ``defer_commit``.

    :param id: the id of the job, or its ``rq_id``
    :type id: int or string
    :param now: interrupt the step that runs, false by default
    :type now: bool, optional

    :returns: the job, see ``files_job_show``
    :rtype: dictionary
    """
    job = _find("files_job_cancel", context, data_dict)
    data = validated(context, data_dict, schema.job_cancel())
    if control.cancel(job.id, data["now"]) is None:
        raise _refused(job.id, tk._("The job has ended already: it is {status}"))
    return _changed(context, job.id)


@explained()
def files_job_retry(context: Context, data_dict: dict[str, Any]) -> dict[str, Any]:
    """Have a background job run again that failed, was cancelled or aborted.

    The job goes on after its last finished step, as soon as a worker is free, also if it was
    scheduled for a later time. It gets its queueing lock back, unless another job waits with the
    same lock.

    Only sysadmins run jobs of ``toolkit.enqueue_job`` again.

    For example, all jobs that failed while a server was down::

        failed = tk.get_action("files_job_list")({"user": "admin"}, {"status": "failed"})
        for job in failed["results"]:
            tk.get_action("files_job_retry")({"user": "admin"}, {"id": job["id"]})

    The action commits, unless the context has ``defer_commit``.

    :param id: the id of the job, or its ``rq_id``
    :type id: int or string

    :returns: the job, see ``files_job_show``
    :rtype: dictionary
    """
    job = _find("files_job_retry", context, data_dict)
    if not control.retry(job.id):
        sentence = tk._(
            "Only a job that failed, was cancelled or aborted can run again: it is {status}"
        )
        raise _refused(job.id, sentence)
    return _changed(context, job.id)


def _find(action: str, context: Context, data_dict: dict[str, Any]) -> record.JobRecord:
    """Return the job for an action that the user may call on it."""
    tk.check_access(action, context, data_dict)
    data = validated(context, data_dict, schema.job())
    job = record.find(data["id"])
    if job is None:
        raise _missing(data["id"])
    if job.id != data["id"]:  # meanwhile another user's job may have taken the RQ id
        tk.check_access(action, context, {"id": job.id})
    return job


def _refused(job_id: int, sentence: str) -> Exception:
    job = record.find(job_id)  # again, because a worker may have changed it
    if job is None:
        return _missing(job_id)
    return tk.ValidationError({"id": [sentence.format(status=state_word(job.status).word)]})


def _missing(job_id: int) -> tk.ObjectNotFound:
    return tk.ObjectNotFound(tk._("There is no job {job}").format(job=job_id))


def _changed(context: Context, job_id: int) -> dict[str, Any]:
    job = record.find(job_id)
    assert job
    result = whole(context, job)
    commit(context)
    return result
