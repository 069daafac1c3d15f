"""huey on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from huey import RedisHuey

from ... import site
from . import REDIS_URL, Queue, nothing, write

site.load()
huey: Any = RedisHuey("ckanext-files-benchmark-huey", url=REDIS_URL)
huey.on_startup()(site.forget_connections)


class HueyQueue(Queue):
    def clean(self) -> None:
        huey.flush()

    def send(self, task: Any, number: int) -> None:
        task(number)

    def unfinished(self) -> int:
        return huey.pending_count() + huey.scheduled_count()


queue = HueyQueue(nothing=huey.task()(nothing), write=huey.task()(write))
