"""``ckan files background status``."""

from __future__ import annotations

from typing import Any

import click
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import schema
from ckanext.files.background.worker.desk import ALIVE

_JOBS = f"""
    SELECT queue_name, status, count(*) FROM {schema.SCHEMA}.procrastinate_jobs
    GROUP BY 1, 2 ORDER BY 1, 2
"""

_WORKERS = f"""
    SELECT id, extract(epoch FROM now() - last_heartbeat),
        EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = {ALIVE}
                AND objid = w.id AND database = (
                    SELECT oid FROM pg_database WHERE datname = current_database()))
    FROM {schema.SCHEMA}.procrastinate_workers w ORDER BY id
"""


@click.command()
def status() -> None:
    """Tell whether the tables are there, which workers live, and how many jobs there are.

    The exit code is 1 when the tables are missing or out of date.
    """
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        schema.check(connection)
        click.echo(f"The tables in schema {schema.SCHEMA} are up to date")
        workers = connection.execute(sa.text(_WORKERS)).all()
        click.echo(f"\nWorkers: {sum(alive for _, _, alive in workers)}")
        for worker_id, silence, alive in workers:
            state = "alive" if alive else "dead"
            click.echo(f"  {worker_id}  {state}, last sign of life {float(silence):.0f} s ago")
        click.echo("\nJobs")
        for queue, state, count in connection.execute(sa.text(_JOBS)):
            click.echo(f"  {queue}  {state}: {count}")
