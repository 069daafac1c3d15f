"""huey on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huey import RedisHuey

from .. import site, tasks
from . import Queue, redis_keys

NAME = f"{redis_keys.PREFIX}huey"

site.load()

huey: Any = RedisHuey(NAME, url=redis_keys.URL)

nothing: Any = huey.task()(tasks.nothing)
write: Any = huey.task()(site.in_request(tasks.write))

huey.on_startup()(site.forget_connections)


class HueyQueue(Queue):
    """A queue with a name of our own."""

    def clean(self) -> None:
        huey.flush()

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        task = {"nothing": nothing, "write": write}[work]
        for number in numbers:
            task(number)

    def unfinished(self) -> int:
        return huey.pending_count() + huey.scheduled_count()


queue = HueyQueue()
