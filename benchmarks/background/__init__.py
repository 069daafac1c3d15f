"""``make bench-background``: how fast jobs are done, by our queue and by other queues.

In its turn, a contender's workers are started, warmed up, measured and stopped, so that no others
compete for the machine. The process that enqueues has CKAN loaded, and so do all workers. A turn in
which a job is missing, or was done twice, ends the benchmark.

All of PostgreSQL happens in copies of CKAN's database that are dropped at the end. How fast jobs
are enqueued is measured for CKAN's ``enqueue_job`` only. Not measured: retries.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ..databases import DATABASE, copies
from ..figures import Rounds, Turn
from ..process import ckan_process
from . import turn
from .contenders import CONTENDERS, make_tables


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    requirements = str(Path(__file__).with_name("requirements.txt"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-qr", requirements], check=True)
    rounds, count, turns = Rounds(), 2 if quick else 15, dict[str, Turn]()
    with copies(len(CONTENDERS)) as databases, ExitStack() as stack:
        for contender, database in zip(CONTENDERS, databases, strict=True):
            options = {"ckan.plugins": contender.plugins}
            options["ckanext.files.background.task_modules"] = f"{__package__}.queues"
            variables = {DATABASE: database, "CKAN_SITE_ID": "benchmark"}
            process = stack.enter_context(ckan_process(options, **variables))
            turns[contender.title] = partial(process.call, turn.take, contender)
        rounds.run(count, turns)
    return make_tables(rounds, count)
