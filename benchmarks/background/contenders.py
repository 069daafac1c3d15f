"""Whose workers are measured, and how they are started."""

from __future__ import annotations

import dataclasses

_QUEUES = "benchmarks.background.queues"
_HISTORY = 10_000
"""An empty table is what no site has for long, and PostgreSQL plans as if it remained empty."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One queue with its workers.

    :param title: may name ``history``.
    :param queue: the module of ``queues``.
    :param command: what starts the workers.
    :param does: what it does for a job, for the reader who compares.
    :param processes: how many of them do jobs.
    :param jobs: how many are done for one rate.
    :param requests: how many jobs find an idle worker.
    :param options: more of CKAN's configuration.
    :param history: how many finished jobs the queue holds, of those that keep them.
    :param database: the copy of CKAN's database.
    """

    name: str
    title: str
    queue: str
    command: str
    does: str
    processes: int = 1
    jobs: int = 2000
    requests: int = 100
    options: tuple[tuple[str, str], ...] = (("ckan.plugins", ""),)
    history: int = 0
    database: str = "plain"

    def __str__(self) -> str:
        return self.title.format(history=self.history)

    def quick(self) -> Contender:
        """Return the same for a first look."""
        return dataclasses.replace(
            self,
            jobs=max(5, self.jobs // 2),
            requests=max(5, self.requests // 4),
            history=min(self.history, 100_000),
        )


CKAN = Contender(
    "ckan",
    "CKAN's jobs worker",
    queue="ckan_jobs",
    command="ckan jobs worker benchmark",
    does="Forks a process for each job and loads CKAN's environment in it.",
    jobs=15,
    requests=10,
)
OTHERS = (
    Contender(
        "procrastinate",
        "Procrastinate",
        queue="bare_procrastinate",
        command=f"procrastinate -a {_QUEUES}.bare_procrastinate.app --log-level warning"
        " worker -c 4",
        history=_HISTORY,
        does="One process with four threads. A job is three transactions: fetch, its own, finish.",
    ),
    Contender(
        "celery",
        "Celery",
        queue="celery_tasks",
        command=f"celery -A {_QUEUES}.celery_tasks worker --pool prefork -c 2",
        does="A job is taken from the queue before it is done, and lost with its process.",
        processes=2,
    ),
    Contender(
        "dramatiq",
        "dramatiq",
        queue="dramatiq_actors",
        command=f"dramatiq {_QUEUES}.dramatiq_actors -p 2 -t 4",
        does="A job whose process has died is done again.",
        processes=2,
    ),
    Contender(
        "huey",
        "huey",
        queue="huey_tasks",
        command=f"huey_consumer {_QUEUES}.huey_tasks.huey -k process -w 2 --quiet",
        does="A job is taken from the queue before it is done, and lost with its process.",
        processes=2,
    ),
)
OWN = Contender(
    "own",
    "ckanext-files",
    queue="own_tasks",
    command="ckan files background worker -c 4 --processes 2",
    does="What a job writes and that it is done are one commit, also of a job that does nothing;"
    " each has a request context and is a row of the history.",
    processes=2,
    history=_HISTORY,
    options=(
        ("ckan.plugins", "files files_background"),
        ("ckanext.files.background.task_modules", f"{_QUEUES}.own_tasks"),
    ),
)


VARIANTS = (
    *(
        dataclasses.replace(
            OWN,
            name=f"own-{count}",
            title=f"{OWN.title}, {count} process{'es' if count > 1 else ''}",
            command=f"ckan files background worker -c 4 --processes {count}",
            processes=count,
        )
        for count in (1, 4)
    ),
    dataclasses.replace(
        OWN,
        name="own-history",
        title=f"{OWN.title}, after {{history:,}} jobs",
        history=1_000_000,
        database="history",
    ),
)
"""What differs from ours in one thing."""

CONTENDERS = (CKAN, *OTHERS, OWN, *VARIANTS)
