"""CKAN's own jobs: RQ, whose worker forks a process for each job and loads CKAN's environment."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan.lib.jobs import get_queue
from rq.registry import FinishedJobRegistry, StartedJobRegistry

from . import Queue, nothing, write

NAME = "benchmark"


class CkanQueue(Queue):
    def clean(self) -> None:
        queue = get_queue(NAME)
        for id_ in FinishedJobRegistry(queue=queue).get_job_ids():
            if job := queue.fetch_job(id_):
                job.delete()
        queue.delete()

    def send(self, task: Any, number: int) -> None:
        tk.enqueue_job(task, [number], queue=NAME)

    def unfinished(self) -> int:
        queue = get_queue(NAME)
        return queue.count + StartedJobRegistry(queue=queue).count


queue = CkanQueue(nothing=nothing, write=write)
