"""Whose workers are measured, and how they are started."""

from __future__ import annotations

import dataclasses

_QUEUES = "benchmarks.background.queues"


_HISTORY = 10_000
"""An empty table is what no site has for long, and PostgreSQL plans as if it remained empty."""

_LONG_HISTORY = 1_000_000
_QUICK_HISTORY = 100_000


@dataclasses.dataclass(frozen=True)
class Contender:
    """One queue with its workers."""

    name: str

    title: str
    """May name ``history``."""

    queue: str
    """The module of ``queues``."""

    command: str
    """What starts the workers."""

    does: str
    """What it does for a job, for the reader who compares."""

    processes: int = 1
    """Those that do jobs."""

    jobs: int = 2000
    """How many are done for one rate."""

    requests: int = 100
    """How many jobs find an idle worker."""

    plugins: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """More of CKAN's configuration."""

    history: int = 0
    """How many finished jobs the queue holds, of those that keep them."""

    database: str = "plain"
    """The copy of CKAN's database."""

    def __str__(self) -> str:
        return self.title.format(history=self.history)

    def quick(self) -> Contender:
        """Return the same for a first look."""
        return dataclasses.replace(
            self,
            jobs=max(5, self.jobs // 2),
            requests=max(5, self.requests // 4),
            history=min(self.history, _QUICK_HISTORY),
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
    plugins="files files_background",
    options=(("ckanext.files.background.task_modules", f"{_QUEUES}.own_tasks"),),
)


def _processes(count: int) -> Contender:
    return dataclasses.replace(
        OWN,
        name=f"own-{count}",
        title=f"{OWN.title}, {count} process{'es' if count > 1 else ''}",
        command=f"ckan files background worker -c 4 --processes {count}",
        processes=count,
    )


VARIANTS = (
    _processes(1),
    _processes(4),
    dataclasses.replace(
        OWN,
        name="own-history",
        title=f"{OWN.title}, after {{history:,}} jobs",
        history=_LONG_HISTORY,
        database="history",
    ),
)
"""What differs from ours in one thing."""

CONTENDERS = (CKAN, *OTHERS, OWN, *VARIANTS)
