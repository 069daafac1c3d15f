"""Consumers: ``ckan harvester gather-consumer`` and ``fetch-consumer`` are our workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ckan.lib import jobs
from ckanext.harvest import queue as harvest  # pyright: ignore[reportMissingImports]

from .stage import FETCH, GATHER, by_routing_key


class Consumer:
    """Stands in for a consumer of ckanext-harvest.

    :param queue_name: ckanext-harvest's name of the queue; the routing key says the same.
    """

    def __init__(self, queue_name: str, routing_key: str) -> None:
        self.routing_key = routing_key
        self._stage = by_routing_key(routing_key)

    def consume(self, queue: str) -> Iterator[Any]:
        """Run the jobs until a signal. No message comes to the caller: a worker has handled it."""
        jobs.Worker([self._stage.queue]).work()
        yield from ()

    def basic_get(self, queue: str) -> tuple[Any, Consumer, str | None]:
        """Take the first message, for a caller that works on it without a worker.

        Its job is cancelled. Of several callers at the same time two may get the same message.
        """
        for job in jobs.get_queue(self._stage.queue).jobs[:1]:
            job.delete()
            body = json.dumps({self._stage.message_key: job.args[0]})
            return harvest.FakeMethod(body), self, body
        return harvest.FakeMethod(None), self, None

    def basic_ack(self, message: Any) -> None:
        """Do nothing: the message was gone with :meth:`basic_get`."""

    def queue_purge(self, queue: str | None = None) -> int:
        """Cancel the jobs that wait, also for a retry; return how many."""
        return self._stage.purge()


def purge_queues() -> None:
    """Cancel the jobs of both stages that wait, for ``ckan harvester purge-queues``."""
    for stage in (GATHER, FETCH):
        stage.purge()
