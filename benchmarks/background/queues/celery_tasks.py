"""Celery on Redis, processes forked beforehand; no results are kept."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from ... import site
from .. import journal
from . import REDIS_URL, RedisQueue

PREFIX = "ckanext-files-benchmark-celery-"

site.load()

app: Any = Celery("benchmark", broker=REDIS_URL)
app.conf.broker_transport_options = {"global_keyprefix": PREFIX}
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True

nothing: Any = app.task(journal.nothing, name="nothing")
write: Any = app.task(site.in_request(journal.write), name="write")
worker_process_init.connect(lambda **_: site.forget_connections(), weak=False)


class CeleryQueue(RedisQueue):
    """Celery's default queue."""

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.tasks[work].delay(number)

    def unfinished(self) -> int:
        return self.redis.llen(f"{PREFIX}celery") + self.redis.hlen(f"{PREFIX}unacked")


queue = CeleryQueue(PREFIX, nothing=nothing, write=write)
