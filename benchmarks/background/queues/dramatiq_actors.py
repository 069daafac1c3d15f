"""dramatiq on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from ... import site
from . import REDIS_URL, RedisQueue, nothing, write

NAMESPACE = "ckanext-files-benchmark-dramatiq"

site.load()
broker: Any = RedisBroker(url=REDIS_URL, namespace=NAMESPACE)
dramatiq.set_broker(broker)


class DramatiqQueue(RedisQueue):
    def send(self, task: Any, number: int) -> None:
        task.send(number)

    def unfinished(self) -> int:
        fetched = self.redis.scan_iter(f"{NAMESPACE}:__acks__.*.default")
        waiting = self.redis.llen(f"{NAMESPACE}:default")
        return waiting + sum(self.redis.scard(key) for key in fetched)


queue = DramatiqQueue(NAMESPACE, nothing=dramatiq.actor(nothing), write=dramatiq.actor(write))
