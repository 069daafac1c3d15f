"""The worker: runs the steps of jobs, each in one commit.

Its own, and not Procrastinate's: the commit of a step also ends the job, or
says where it goes on, and claims the next one.
"""

from .options import WorkerOptions
from .processes import run_processes
from .worker import Worker

__all__ = ["Worker", "WorkerOptions", "run_processes"]
