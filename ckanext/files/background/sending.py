"""Asking for work by the name of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import registry
from .deferring import defer, job_options
from .errors import ArgumentError
from .job import Job
from .signature import REST
from .values import as_json


def send_task(
    name: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    **options: Any,
) -> Job:
    """Ask for a job of a task that only its name is known of.

    A task that this process does not know may be known by a worker: its
    arguments are checked there.

    :param args: positional arguments.
    :param kwargs: arguments by name.
    :param task_id: an id of your own, such as a UUID; no two jobs have the same.
    :param options: of :meth:`Task.configure`.
    :raises ArgumentError: the arguments do not fit, JSON cannot hold them, or
        there is a job with that ``task_id``.
    """
    if isinstance(args, str):
        raise ArgumentError(f"The args of {name} are a list or tuple of arguments, not a string")
    if task_id is not None and not isinstance(task_id, str):
        task_id = str(task_id)
    chosen = job_options(**options)
    if registry.is_known(name):
        task = registry.find(name)
        packed = task.signature.pack(args, kwargs or {})
        return defer(name, [packed], {**task.options, **chosen}, task_id)[0]
    packed = {
        key: as_json(value, f"argument {key!r} of task {name}")
        for key, value in [*(kwargs or {}).items(), *([(REST, list(args))] if args else [])]
    }
    return defer(name, [packed], chosen, task_id)[0]
