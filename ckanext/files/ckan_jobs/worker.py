"""``ckan jobs worker``, CKAN's command, with our workers.

RQ forks a process for each job. Ours run jobs one after the other, each in the same thread,
and new processes take their places after ``ckanext.files.jobs.max_jobs``: what functions
leave behind, such as engines and handlers of logs, does not grow for ever.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ckan.common import config
from ckan.config import middleware
from ckan.lib import jobs
from redis.exceptions import RedisError

from ckanext.files.background.overview import unknown_queues
from ckanext.files.background.worker import configured_options, run_burst, run_processes

from . import policy
from .function import worker_key
from .redis_jobs import RedisJobs
from .store import queue_name

log = logging.getLogger(jobs.__name__)

PROCESSES = "ckanext.files.jobs.processes"
MAX_JOBS = "ckanext.files.jobs.max_jobs"


class Worker:
    """Stands in for CKAN's worker.

    :param queues: names of queues, or one name; the default queue without them.
    """

    def __init__(self, queues: str | Iterable[str] | None = None) -> None:
        names = [queues] if isinstance(queues, str) else list(queues or ())
        self.queues = [jobs.get_queue(name) for name in names or [jobs.DEFAULT_QUEUE_NAME]]

    @property
    def key(self) -> str:
        """What logs call it."""
        return worker_key()

    def queue_names(self) -> list[str]:
        """Return RQ's names of its queues."""
        return [queue.name for queue in self.queues]

    def work(
        self,
        burst: bool = False,
        logging_level: Any = None,
        date_format: Any = None,
        log_format: Any = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
    ) -> bool:
        """Run jobs until a signal; return whether it has run any, or has had processes for it.

        :param burst: end when no job waits any more; all runs in this process.
        :param logging_level: CKAN configures the log, also ``date_format`` and ``log_format``.
        :param max_idle_time: end after so many seconds without a job.
        :param with_scheduler: jobs begin at their times in any case.
        """
        names = ", ".join(f'"{jobs.remove_queue_name_prefix(name)}"' for name in self.queue_names())
        log.info("Worker %s (PID %s) has started on queue(s) %s", self.key, os.getpid(), names)
        try:
            self._warn()
            return self._work(burst, max_idle_time)
        finally:
            log.info("Worker %s (PID %s) has stopped", self.key, os.getpid())

    def _warn(self) -> None:
        """Write into the log what stops nothing, and what its operators may not know."""
        queues = [queue_name(name) for name in self.queue_names()]
        for sentence in [*unknown_queues(queues), *policy.without_function()]:
            log.warning("%s", sentence)
        with suppress(RedisError):
            if count := RedisJobs().count():
                words = "Redis has jobs of this site: %s. ckan files jobs drain takes them over"
                log.warning(words, count)

    def _work(self, burst: bool, max_idle: int | None) -> bool:
        options = configured_options(
            queues=tuple(queue_name(name) for name in self.queue_names()),
            max_idle=max_idle,
            max_jobs=0 if burst else config[MAX_JOBS],
        )
        if burst:
            return run_burst(_flask_app(), options) > 0
        run_processes(_flask_app(), options, config[PROCESSES])
        return True


def _flask_app() -> Any:
    """Return the application of this process; None if it has none, as in some tests."""
    context = middleware._internal_test_request_context  # noqa: SLF001 - as CKAN's own helpers
    return context.app if context else None
