"""Putting rows under ``ckan.lib.jobs``.

Extensions import ``enqueue``, ``get_queue`` and ``job_from_id`` before any plugin is
configured. So these stay, and what they look up in their module at each call is replaced:
``get_queue`` asks ``_queues`` before it makes a queue of RQ.

Workers of :mod:`ckanext.files.background` learn to run the functions.
"""

from __future__ import annotations

from typing import Any

from ckan.lib import jobs

from ckanext.files.background.call import resolvers

from . import store
from .function import resolve
from .job import Job
from .queue import Queue
from .worker import Worker

_originals: dict[str, Any] = {}


class Queues(dict[str, Queue]):
    """The queues by RQ's names; each exists as soon as one asks for it."""

    def __missing__(self, name: str) -> Queue:
        return self.setdefault(name, Queue(name))


def get_all_queues() -> list[Any]:
    """Return the queues of this site that have had jobs, by name."""
    names = store.origins(jobs.add_queue_name_prefix(""))
    return [jobs.get_queue(jobs.remove_queue_name_prefix(name)) for name in names]


def install() -> None:
    """Keep all jobs of this process in PostgreSQL, until :func:`uninstall`."""
    if not _originals:
        stand_ins = {
            "_queues": Queues(),
            "Job": Job,
            "Worker": Worker,
            "get_all_queues": get_all_queues,
        }
        for name, stand_in in stand_ins.items():
            _originals[name] = getattr(jobs, name)
            setattr(jobs, name, stand_in)
        resolvers.append(resolve)


def uninstall() -> None:
    """Give ``ckan.lib.jobs`` back what it had."""
    if _originals:
        resolvers.remove(resolve)
    while _originals:
        name, original = _originals.popitem()
        setattr(jobs, name, original)
