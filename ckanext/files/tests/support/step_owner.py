"""A worker that a test controls, statement by statement."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.races import waiting


class StepOwner:
    """Claims jobs and ends steps as a worker, on a connection of its own; the test commits."""

    def __init__(self) -> None:
        self._connection: Any = engine().raw_connection()
        self._cursor = self._connection.cursor()
        self.worker_id = self._one(f"SELECT * FROM {SCHEMA}.procrastinate_register_worker_v1()")
        self.commit()

    def claim(self) -> dict[str, Any]:
        """Claim the next job; return its description."""
        claimed = self._one(f"SELECT {SCHEMA}.files_claim(NULL, %s, true)", self.worker_id)
        assert claimed, "no job waits"
        return json.loads(claimed)

    def end_step(self, job: dict[str, Any], *, goes_on: bool) -> str:
        """End a step of a job that was claimed; return the outcome."""
        call = json.dumps({"task": job["task_name"], "args": {}}) if goes_on else None
        query = (
            f"SELECT _outcome FROM {SCHEMA}.files_end_step(%s, %s, %s, %s, 100, 'x', NULL, false)"
        )
        return self._one(query, job["id"], self.worker_id, job["attempts"], call)

    def fail(self, job: dict[str, Any], *, again: bool = False) -> bool:
        """Fail a step of a job, for good or to be tried again at once."""
        query = (
            f"SELECT {SCHEMA}.files_fail(%s, %s, %s, 'failed', 'E: wrong', 'trace', NULL, NULL,"
            " CASE WHEN %s THEN now() END, false, NULL, NULL, NULL, NULL)"
        )
        return self._one(query, job["id"], self.worker_id, job["attempts"], again)

    def run(self, query: str, *values: Any) -> None:
        """Run a statement of the test's own."""
        self._cursor.execute(query, values)

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        """Roll back, and unregister the worker."""
        self._connection.rollback()
        self._one(f"SELECT {SCHEMA}.procrastinate_unregister_worker_v1(%s)", self.worker_id)
        self.commit()
        self._connection.close()

    def _one(self, query: str, *values: Any) -> Any:
        self._cursor.execute(query, values)
        return self._cursor.fetchone()[0]


def let_wait(call: Callable[[], Any], meanwhile: Callable[[], Any]) -> Any:
    """Return the result of a call that waits for a lock until ``meanwhile`` has released it."""
    with waiting(call) as waits:
        meanwhile()
    return waits.result()
