"""The worker: claims jobs and runs their steps, each in one commit.

Procrastinate's worker commits a job apart from its work. Here the commit of a
step also ends the job, or stores where it goes on, and claims the next one. A job
has one worker at a time: before another worker takes a job over, it ends the
database sessions of the first one, which can commit nothing when it wakes up.

The top of ``background/sql/tables.sql`` lists the states of a job, and what changes them.
"""

from .burst import run_burst
from .options import WorkerOptions, configured_options
from .processes import run_processes
from .worker import Worker

__all__ = ["Worker", "WorkerOptions", "configured_options", "run_burst", "run_processes"]
