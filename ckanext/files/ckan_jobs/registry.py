"""Jobs of a queue that do not wait in it."""

from __future__ import annotations

from typing import Any

from . import store


class Registry:
    """The ids of the jobs of a queue in one state, as RQ's registries have them."""

    def __init__(self, origin: str, status: str) -> None:
        self._origin = origin
        self._status = status

    def get_job_ids(
        self, start: int = 0, end: int = -1, desc: bool = False, cleanup: bool = True
    ) -> list[str]:
        """Return the ids from one position to another one, with both; -1 is the last one.

        :param desc: the last one first.
        :param cleanup: RQ's registries may have jobs that are gone; these have none.
        """
        ids = store.ids(self._origin, self._status)[:: -1 if desc else 1]
        return ids[start : len(ids) if end == -1 else end + 1]

    def get_job_count(self, cleanup: bool = True) -> int:
        return len(self.get_job_ids())

    @property
    def count(self) -> int:
        return self.get_job_count()

    def __len__(self) -> int:
        return self.get_job_count()

    def __contains__(self, job: Any) -> bool:
        return getattr(job, "row_id", job) in self.get_job_ids()
