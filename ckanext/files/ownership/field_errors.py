"""Errors of a transfer that a queued task asks for, on the field that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ckan.plugins import toolkit as tk

from ckanext.files.queue import innermost_queue

from .places import find
from .problems import Problems
from .results import completed


@contextmanager
def errors_on_fields(file_id: str, user: str) -> Iterator[None]:
    """Put what is wrong with a file where the result of the action names it.

    Without this, the caller of ``package_update`` learns from a task's error neither that it is
    about a field nor which one. Outside of a task, or where no field shows the file, the error
    stays as it is.
    """
    try:
        yield
    except (tk.NotAuthorized, tk.ValidationError) as error:
        queue = innermost_queue()
        if queue is None or queue.result is None:
            raise
        problems = Problems()
        for key in find(completed(queue.result, queue.action, user), file_id):
            problems.add(key, _sentence(error))
        problems.check()
        raise


def _sentence(error: Exception) -> str:
    if isinstance(error, tk.ValidationError):
        return "; ".join(error.error_summary.values())
    return str(error)
