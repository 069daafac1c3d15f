"""A plugin of CKAN for xloader without its sleeps, which notes when it would have slept.

xloader 2.6.0 sleeps five seconds when a job has begun before its resource is committed.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ckan.plugins as p

OPTION = "ckanext.files.tests.sleeps"
"""Names the file with a line for each sleep."""


class NoSleepsPlugin(p.SingletonPlugin):
    """Replaces the module ``time`` in xloader's jobs."""

    p.implements(p.IConfigurable)

    def configure(self, config: Any) -> None:
        from ckanext.xloader import jobs  # pyright: ignore[reportMissingImports]

        def note(seconds: float) -> None:
            with Path(config[OPTION]).open("a") as file:
                file.write(f"{seconds}\n")

        jobs.time = SimpleNamespace(time=time.time, sleep=note)
