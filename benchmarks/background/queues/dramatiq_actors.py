"""dramatiq on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from ... import site
from .. import journal
from . import REDIS_URL, RedisQueue

NAMESPACE = "ckanext-files-benchmark-dramatiq"

site.load()

broker: Any = RedisBroker(url=REDIS_URL, namespace=NAMESPACE)
dramatiq.set_broker(broker)
nothing: Any = dramatiq.actor(journal.nothing)
write: Any = dramatiq.actor(site.in_request(journal.write))


class DramatiqQueue(RedisQueue):
    """The default queue in a namespace of our own."""

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.tasks[work].send(number)

    def unfinished(self) -> int:
        fetched = self.redis.scan_iter(f"{NAMESPACE}:__acks__.*.default")
        waiting = self.redis.llen(f"{NAMESPACE}:default")
        return waiting + sum(self.redis.scard(key) for key in fetched)


queue = DramatiqQueue(NAMESPACE, nothing=nothing, write=write)
