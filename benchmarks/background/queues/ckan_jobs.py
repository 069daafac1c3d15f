"""CKAN's own jobs: RQ, whose worker forks a process for each job and loads CKAN's environment."""

from __future__ import annotations

from collections.abc import Sequence

import ckan.plugins.toolkit as tk
from ckan.lib.jobs import get_queue
from rq.registry import FinishedJobRegistry, StartedJobRegistry

from ... import site
from .. import journal
from . import Queue

NAME = "benchmark"
nothing = journal.nothing
write = site.in_request(journal.write)


class CkanQueue(Queue):
    """A queue of the name ``benchmark``."""

    def clean(self) -> None:
        queue = get_queue(NAME)
        for id_ in FinishedJobRegistry(queue=queue).get_job_ids():
            if job := queue.fetch_job(id_):
                job.delete()
        queue.delete()

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            tk.enqueue_job(self.tasks[work], [number], queue=NAME)

    def unfinished(self) -> int:
        queue = get_queue(NAME)
        return queue.count + StartedJobRegistry(queue=queue).count


queue = CkanQueue(nothing=nothing, write=write)
