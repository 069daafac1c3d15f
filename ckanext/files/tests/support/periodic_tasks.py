"""A task that runs every other second, for the one test that wants that."""

from __future__ import annotations

import time

from ckanext.files.background import periodic, task
from ckanext.files.tests.support.sample import effect


@periodic(cron="* * * * * */2")
@task(queue="ticks")
def tick(timestamp: int) -> None:
    effect(f"tick-{timestamp}-{time.time()}")
