"""Celery on Redis, processes forked beforehand; no results are kept."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from ... import site
from . import REDIS_URL, RedisQueue, nothing, write

PREFIX = "ckanext-files-benchmark-celery-"

site.load()
app: Any = Celery("benchmark", broker=REDIS_URL)
app.conf.broker_transport_options = {"global_keyprefix": PREFIX}
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
worker_process_init.connect(lambda **_: site.forget_connections(), weak=False)


class CeleryQueue(RedisQueue):
    def send(self, task: Any, number: int) -> None:
        task.delay(number)

    def unfinished(self) -> int:
        return self.redis.llen(f"{PREFIX}celery") + self.redis.hlen(f"{PREFIX}unacked")


tasks = {"nothing": app.task(nothing, name="nothing"), "write": app.task(write, name="write")}
queue = CeleryQueue(PREFIX, **tasks)
