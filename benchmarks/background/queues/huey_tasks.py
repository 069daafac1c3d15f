"""huey on Redis."""

# only the benchmark itself has it installed
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huey import RedisHuey

from ... import site
from .. import journal
from . import REDIS_URL, Queue

site.load()

huey: Any = RedisHuey("ckanext-files-benchmark-huey", url=REDIS_URL)
nothing: Any = huey.task()(journal.nothing)
write: Any = huey.task()(site.in_request(journal.write))
huey.on_startup()(site.forget_connections)


class HueyQueue(Queue):
    """A queue with a name of our own."""

    def clean(self) -> None:
        huey.flush()

    def enqueue(self, work: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.tasks[work](number)

    def unfinished(self) -> int:
        return huey.pending_count() + huey.scheduled_count()


queue = HueyQueue(nothing=nothing, write=write)
