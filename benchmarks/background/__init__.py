"""``make bench-background``: how fast jobs are done, by our queue and by other queues.

In its turn, a contender's workers are started, warmed up, measured and stopped, so that no others
compete for the machine. The process that enqueues has CKAN loaded, and so do all workers. A turn in
which a job is missing, or was done twice, ends the benchmark.

All of PostgreSQL happens in copies of CKAN's database that are dropped at the end. Not measured:
how fast jobs are enqueued, and retries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from ..figures import Rounds, Turn
from ..process import ckan_process
from . import turn
from .contenders import CONTENDERS, make_tables

_DATABASE = "CKAN_SQLALCHEMY_URL"


def measure(quick: bool) -> dict[str, str]:
    """Measure everything, and return the tables."""
    requirements = str(Path(__file__).with_name("requirements.txt"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-qr", requirements], check=True)
    rounds, count, turns = Rounds(), 2 if quick else 15, dict[str, Turn]()
    with _copies(len(CONTENDERS)) as databases, ExitStack() as stack:
        for contender, database in zip(CONTENDERS, databases, strict=True):
            options = {"ckan.plugins": contender.plugins}
            options["ckanext.files.background.task_modules"] = f"{__package__}.queues"
            variables = {_DATABASE: database, "CKAN_SITE_ID": "benchmark"}
            process = stack.enter_context(ckan_process(options, **variables))
            turns[contender.title] = partial(process.call, turn.take, contender)
        rounds.run(count, turns)
    return make_tables(rounds, count)


@contextmanager
def _copies(count: int) -> Iterator[list[str]]:
    """Give the addresses of copies of CKAN's database, which are dropped at the end."""
    url = make_url(os.environ[_DATABASE])
    copies = [url.set(database=f"{url.database}_benchmark_{number}") for number in range(count)]
    make = f'CREATE DATABASE "{{}}" TEMPLATE "{url.database}"'
    drop = 'DROP DATABASE IF EXISTS "{}" WITH (FORCE)'
    # it is the only connection, as it has to be when the database is copied
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:

        def execute(sql: str) -> None:
            for copy in copies:
                connection.execute(sa.text(sql.format(copy.database)))

        # a benchmark that was killed has left some
        execute(drop)
        try:
            execute(make)
            yield [copy.render_as_string(hide_password=False) for copy in copies]
        finally:
            execute(drop)
