"""Steps of many jobs, a storm over their workers, and whether a step was done twice or wrongly.

Each step writes a row of its own, adds one to a counter, and one to the title of a dataset. A
trigger looks at the job right before the COMMIT: an effect of a worker that has lost the job is
foul.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Call, task
from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support.effects import engine, look, rows
from ckanext.files.tests.support.jobs import cut, running, sessions_of
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.tests.support.users import call
from ckanext.files.tests.support.workers import Worker

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
        SELECT FROM {SCHEMA}.procrastinate_jobs WHERE id = NEW.job_id AND (
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


@task
def work(run: str, number: int, step: int, steps: int, datasets: list[str]) -> Call | None:
    """Change the database at each step, through the session and through an action of CKAN."""
    dataset = _dataset_of(number, step, datasets)
    locked = sa.text("SELECT title FROM package WHERE id = :id FOR UPDATE")
    title = model.Session.execute(locked, {"id": dataset}).scalar_one()
    values = _values(run, number, step, dataset)
    for statement in (_STEP, _COUNT):
        model.Session.connection().exec_driver_sql(statement, values)
    call("package_patch", None, id=dataset, title=str(int(title) + 1))
    return work(run, number, step + 1, steps, datasets) if step < steps else None


@task
def work_naively(run: str, number: int, step: int, steps: int, datasets: list[str]) -> Call | None:
    """Commit the effects of each step before the step is."""
    # at any time some steps stand before the one commit, and some before the other
    time.sleep(random.uniform(0.2, 0.6))
    values = _values(run, number, step, _dataset_of(number, step, datasets))
    connection = psycopg2.connect(engine().url.render_as_string(hide_password=False))
    with connection, connection.cursor() as cursor:
        cursor.execute(_STEP, values)
        cursor.execute(_COUNT, values)
    connection.close()
    time.sleep(random.uniform(0.05, 0.15))
    return work_naively(run, number, step + 1, steps, datasets) if step < steps else None


def _values(run: str, number: int, step: int, dataset: str) -> dict[str, Any]:
    ours = {"run": run, "number": number, "step": step, "dataset": dataset}
    return {**ours, "job_id": running().id, "attempts": running().attempts}


def _dataset_of(number: int, step: int, datasets: list[str]) -> str:
    return datasets[(number + step) % len(datasets)]


def done(run: str) -> int:
    """Return how many steps have had effects."""
    return look("SELECT count(*) FROM files_test_step WHERE run = :run", run=run)


def examine(run: str, jobs: int, steps: int, datasets: list[str], patched: bool) -> Findings:
    """Compare what is there with what should be."""
    expected = Counter(
        _dataset_of(n, step, datasets) for n in range(jobs) for step in range(1, steps + 1)
    )
    found = rows("SELECT number, step, times FROM files_test_step WHERE run = :run", run=run)
    counters = dict(rows("SELECT dataset, value FROM files_test_counter WHERE run = :run", run=run))
    findings = Findings(
        not_succeeded=look(
            f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE status <> 'succeeded'"
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


@dataclasses.dataclass
class Storm:
    """What happens to workers: kills, standstills and cut connections, spread over their work.

    Workers that have ended are started again at once.
    """

    workers: list[Worker]
    kills: int
    freezes: int
    cuts: int
    standstill: tuple[float, float]
    """Seconds, from and to."""

    ended: int = 0
    """Workers that have ended by themselves."""

    def rage(self, done: Callable[[], int], total: int) -> None:
        """Rage until all work is done.

        :param done: tells how much is.
        """
        events = [self._kill] * self.kills + [self._freeze] * self.freezes + [self._cut] * self.cuts
        random.shuffle(events)
        ahead, last, changed = len(events), -1, 0.0
        self._wakes: dict[float, Worker] = {}
        while True:
            for at in [at for at in self._wakes if time.monotonic() > at]:
                self._wakes.pop(at).wake()
            self._start_again()
            so_far = done()
            if so_far != last:
                last, changed = so_far, time.monotonic()
            assert time.monotonic() < changed + 90, f"stuck at {so_far} of {total}"
            if so_far >= total and not events and not self._wakes:
                return
            if events and so_far >= total * (1 - len(events) / (ahead + 1)):
                time.sleep(random.uniform(0, 0.3))
                if events[-1]():
                    events.pop()
            time.sleep(0.05)

    def _start_again(self) -> None:
        for worker in self.workers:
            if not worker.running:
                worker.launch()
                self.ended += 1

    def _awake(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.frozen]

    def _kill(self) -> bool:
        if ready := [worker for worker in self._awake() if worker.ids]:
            worker = random.choice(ready)
            worker.kill()
            worker.launch()
        return bool(ready)

    def _freeze(self) -> bool:
        """Let one stand still, unless it is the only one that does not."""
        ready = [worker for worker in self._awake() if worker.ids]
        if not ready or len(self._awake()) == 1:
            return False
        worker = random.choice(ready)
        worker.freeze()
        self._wakes[time.monotonic() + random.uniform(*self.standstill)] = worker
        return True

    def _cut(self) -> bool:
        pids = sessions_of("%")
        cut(random.sample(pids, min(2, len(pids))))
        return bool(pids)
