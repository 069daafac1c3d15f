"""dramatiq on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from .. import site, tasks
from . import Queue, redis_keys

NAMESPACE = f"{redis_keys.PREFIX}dramatiq"

site.load()

broker: Any = RedisBroker(url=redis_keys.URL, namespace=NAMESPACE)
dramatiq.set_broker(broker)

nothing: Any = dramatiq.actor(tasks.nothing)
write: Any = dramatiq.actor(site.in_request(tasks.write))


class DramatiqQueue(Queue):
    """The default queue in a namespace of our own."""

    def clean(self) -> None:
        redis_keys.remove(NAMESPACE)

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        actor = {"nothing": nothing, "write": write}[work]
        for number in numbers:
            actor.send(number)

    def unfinished(self) -> int:
        client = redis_keys.connect()
        fetched = client.scan_iter(f"{NAMESPACE}:__acks__.*.default")
        return client.llen(f"{NAMESPACE}:default") + sum(client.scard(key) for key in fetched)


queue = DramatiqQueue()
