"""Asking for work by the name of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import registry
from .deferring import defer
from .errors import ArgumentError
from .job import Job
from .options import checked_key, checked_name, job_options
from .signature import by_name


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
    :raises BackgroundError: the ``task_id`` or an option is not what it should be.
    :raises ArgumentError: the arguments do not fit, JSON cannot hold them, or
        there is a job with that ``task_id``.
    """
    if isinstance(args, str) or not isinstance(args, Sequence):
        raise ArgumentError(f"The args of {name} are a list or tuple of arguments, not {args!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise ArgumentError(f"The kwargs of {name} are a dict of arguments, not {kwargs!r}")
    if task_id is not None:
        task_id = checked_key(str(task_id), "task_id")
    chosen = job_options(**options)
    if registry.is_known(name):
        task = registry.find(name)
        packed = task.signature.pack(args, kwargs or {})
        return defer(name, [packed], {**task.options, **chosen}, task_id)[0]
    packed = by_name(kwargs or {}, args, checked_name(name, "name of a task"))
    return defer(name, [packed], chosen, task_id)[0]
