"""Background tasks: long work, as jobs in PostgreSQL that workers run.

The public names for portals that install ``ckanext-files[background]``. A *task*
is a function, a *call* is a task with its arguments, a *job* is the row of a call
that a worker runs, a *step* is one run of a call within its job.

The commit that changes CKAN's data also writes the job. Each step is one commit,
too: its changes of the database, where the job goes on, and its progress. A step
that fails leaves no changes. Files, Solr and other services are outside of this
guarantee: there a step may happen more than once.

Refused: functions that a worker could not find, arguments and options that
PostgreSQL cannot keep, and tables that ``ckan files background init`` has not
created or updated.
"""

try:
    from procrastinate.retry import RetryStrategy
except ModuleNotFoundError as error:
    raise ImportError(
        "Background tasks need Procrastinate. Run: pip install 'procrastinate>=3.10,<4'"
    ) from error

from .call import Call, deserialize_task
from .chain import chain
from .context import JobContext, current_job, set_progress
from .deferring import send_task
from .discovery import IBackgroundTasks
from .errors import (
    AlreadyEnqueuedError,
    ArgumentError,
    BackgroundError,
    JobAborted,
    MaxRetriesExceededError,
    NotInJobError,
    NotInstalledError,
    StepTimeout,
    TaskDefinitionError,
    UnknownTaskError,
)
from .job import Job
from .manager import manager
from .periodic import periodic
from .retry import Retry
from .task import Task, task

__all__ = [
    "AlreadyEnqueuedError",
    "ArgumentError",
    "BackgroundError",
    "Call",
    "IBackgroundTasks",
    "Job",
    "JobAborted",
    "JobContext",
    "MaxRetriesExceededError",
    "NotInJobError",
    "NotInstalledError",
    "Retry",
    "RetryStrategy",
    "StepTimeout",
    "Task",
    "TaskDefinitionError",
    "UnknownTaskError",
    "chain",
    "current_job",
    "deserialize_task",
    "manager",
    "periodic",
    "send_task",
    "set_progress",
    "task",
]
