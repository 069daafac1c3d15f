"""The two stages of harvesting that have queues, and how a message becomes a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ckan.common import config
from ckan.lib import jobs

from ckanext.files.ckan_jobs import store
from ckanext.files.ckan_jobs.errors import DuplicateJobError

from .errors import HarvestQueueError
from .options import TIMEOUT

MOST_TRIES = 4
"""As often ckanext-harvest tries to fetch an object."""

RETRY_WAIT = 60
"""Seconds before each retry."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of harvesting, with a queue of jobs."""

    name: str
    message_key: str
    """Where a message has the id of what it is about. It also ends the routing key."""

    retries: int

    @property
    def queue(self) -> str:
        """The name of the queue, as ``ckan jobs worker`` takes it."""
        return f"harvest-{self.name}"

    def rq_id(self, about: str) -> str:
        """Return the id of a job.

        :param about: the id of the harvest job or the harvest object.
        """
        return f"{self.queue}-{about}"

    def about_job(self, rq_id: str) -> str:
        """Return what a job is about."""
        return rq_id.removeprefix(f"{self.queue}-")

    def jobs_in(self, status: str) -> list[str]:
        """Return the ids of the jobs in a state, see :class:`.store.Row`."""
        return store.ids(jobs.add_queue_name_prefix(self.queue), status)

    def put(self, about: str) -> None:
        """Write a job, unless one for the same waits or runs.

        The commit of the session's changes writes it, or it is written at once.
        """
        queue: Any = jobs.get_queue(self.queue)
        job = queue.create_job(
            f"{__package__}.{self.name}.{self.name}",
            args=[about],
            job_id=self.rq_id(about),
            timeout=config[TIMEOUT.format(stage=self.name)] or -1,
            meta={"title": f"{self.name.capitalize()} {about}"},
        )
        # a number of its own: the site's retries would gather again what has failed
        job.retries_left, job.retry_intervals = self.retries, [RETRY_WAIT]
        with suppress(DuplicateJobError):
            queue.enqueue_job(job, unique=True)

    def purge(self) -> int:
        """Cancel the jobs that wait, also for a retry; return how many."""
        queue: Any = jobs.get_queue(self.queue)
        waits_for_retry = queue.scheduled_job_registry.get_job_ids()
        for rq_id in waits_for_retry:
            store.drop(rq_id)
        return len(waits_for_retry) + queue.empty()

    def about(self, body: Mapping[str, Any]) -> str:
        """Return the id that a message has.

        :raises HarvestQueueError: it has none.
        """
        try:
            return str(body[self.message_key])
        except KeyError:
            raise HarvestQueueError(
                f"A message for {self.name} has no {self.message_key}"
            ) from None


GATHER = Stage("gather", "harvest_job_id", 0)
FETCH = Stage("fetch", "harvest_object_id", MOST_TRIES - 1)


def by_routing_key(routing_key: str) -> Stage:
    """Return a stage by the name that ckanext-harvest has for its queue.

    :raises HarvestQueueError: there is no such stage.
    """
    for stage in (GATHER, FETCH):
        if routing_key.rpartition(":")[2] == stage.message_key:
            return stage
    raise HarvestQueueError(f"Harvesting has no queue {routing_key}: gather and fetch are jobs")
