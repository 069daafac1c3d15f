"""What the steps of many jobs have done, and whether any was done twice or by the wrong worker.

Each step writes a row of its own, adds one to a counter, and one to the title
of a dataset. A trigger looks at the job right before the COMMIT: an effect of a
worker that has lost the job is foul.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import psycopg2
from ckan import model

from ckanext.files.background import schema
from ckanext.files.tests.support.effects import engine, look, rows
from ckanext.files.tests.support.solr import title_in_solr

_TABLES = f"""
CREATE TABLE IF NOT EXISTS files_test_step (
    run text, number integer, step integer, times integer NOT NULL DEFAULT 1,
    job_id bigint, attempts integer,
    worker text DEFAULT current_setting('application_name'),
    transaction bigint DEFAULT txid_current(),
    PRIMARY KEY (run, number, step)
);
CREATE TABLE IF NOT EXISTS files_test_counter (
    run text, dataset text, value integer NOT NULL, PRIMARY KEY (run, dataset)
);
CREATE TABLE IF NOT EXISTS files_test_foul (LIKE files_test_step);
CREATE OR REPLACE FUNCTION files_test_judge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO files_test_foul SELECT NEW.* WHERE NOT EXISTS (
        SELECT FROM {schema.SCHEMA}.procrastinate_jobs WHERE id = NEW.job_id AND (
            status = 'doing' AND attempts = NEW.attempts
            OR status = 'succeeded' AND attempts = NEW.attempts + 1));
    RETURN NULL;
END;
$$;
DROP TRIGGER IF EXISTS judge ON files_test_step;
CREATE CONSTRAINT TRIGGER judge AFTER INSERT OR UPDATE ON files_test_step
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION files_test_judge();
"""

_STEP = """
INSERT INTO files_test_step AS s (run, number, step, job_id, attempts)
VALUES (%(run)s, %(number)s, %(step)s, %(job_id)s, %(attempts)s)
ON CONFLICT (run, number, step) DO UPDATE SET times = s.times + 1, attempts = excluded.attempts,
    worker = excluded.worker, transaction = excluded.transaction
"""

_COUNT = """
INSERT INTO files_test_counter AS c VALUES (%(run)s, %(dataset)s, 1)
ON CONFLICT (run, dataset) DO UPDATE SET value = c.value + 1
"""


@dataclasses.dataclass
class Findings:
    """What is wrong after a run."""

    not_succeeded: int = 0
    lost: int = 0
    doubled: int = 0
    foul: int = 0
    """Effects of workers that had lost the job."""

    wrong_counters: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrong_titles: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrong_in_solr: dict[str, Any] = dataclasses.field(default_factory=dict)


def create_tables() -> None:
    with engine().begin() as connection:
        connection.exec_driver_sql(_TABLES)


def write_through_session(values: dict[str, Any]) -> None:
    """Write the effects of a step into its transaction."""
    connection = model.Session.connection()
    connection.exec_driver_sql(_STEP, values)
    connection.exec_driver_sql(_COUNT, values)


def write_apart(values: dict[str, Any]) -> None:
    """Write the effects of a step in a transaction of their own, which is the mistake."""
    connection = psycopg2.connect(engine().url.render_as_string(hide_password=False))
    with connection, connection.cursor() as cursor:
        cursor.execute(_STEP, values)
        cursor.execute(_COUNT, values)
    connection.close()


def dataset_of(number: int, step: int, datasets: list[str]) -> str:
    """Return the dataset that a step changes."""
    return datasets[(number + step) % len(datasets)]


def done(run: str) -> int:
    """Return how many steps have had effects."""
    return look("SELECT count(*) FROM files_test_step WHERE run = :run", run=run)


def examine(run: str, jobs: int, steps: int, datasets: list[str], patched: bool) -> Findings:
    """Compare what is there with what should be."""
    expected = Counter(
        dataset_of(n, step, datasets) for n in range(jobs) for step in range(1, steps + 1)
    )
    found = rows("SELECT number, step, times FROM files_test_step WHERE run = :run", run=run)
    counters = dict(rows("SELECT dataset, value FROM files_test_counter WHERE run = :run", run=run))
    findings = Findings(
        not_succeeded=look(
            f"SELECT count(*) FROM {schema.SCHEMA}.procrastinate_jobs WHERE status <> 'succeeded'"
        ),
        lost=jobs * steps - len(found),
        doubled=sum(times > 1 for _, _, times in found),
        foul=look("SELECT count(*) FROM files_test_foul WHERE run = :run", run=run),
        wrong_counters=_different(expected, counters),
    )
    if patched:
        titles = {d: int(look("SELECT title FROM package WHERE id = :id", id=d)) for d in datasets}
        findings.wrong_titles = _different(expected, titles)
        findings.wrong_in_solr = _different(
            titles, {d: int(title_in_solr(d) or -1) for d in datasets}
        )
    return findings


def _different(expected: dict[str, int], found: dict[str, int]) -> dict[str, Any]:
    return {k: (v, found.get(k)) for k, v in expected.items() if found.get(k) != v}
