"""Celery on Redis, processes forked beforehand; results are not kept, as nobody asks for them."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from .. import site, tasks
from . import Queue, redis_keys

PREFIX = f"{redis_keys.PREFIX}celery-"

site.load()

app: Any = Celery("benchmark", broker=redis_keys.URL)
app.conf.broker_transport_options = {"global_keyprefix": PREFIX}
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True

nothing: Any = app.task(tasks.nothing, name="nothing")
write: Any = app.task(site.in_request(tasks.write), name="write")


@worker_process_init.connect
def _forget_connections(**_: Any) -> None:
    site.forget_connections()


class CeleryQueue(Queue):
    """Celery's default queue, with keys of our own."""

    def clean(self) -> None:
        redis_keys.remove(PREFIX)

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        task = {"nothing": nothing, "write": write}[work]
        for number in numbers:
            task.delay(number)

    def unfinished(self) -> int:
        client = redis_keys.connect()
        return client.llen(f"{PREFIX}celery") + client.hlen(f"{PREFIX}unacked")


queue = CeleryQueue()
