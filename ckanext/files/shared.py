"""The public names of this extension.

Other extensions import from here and not from other modules. These names stay.
"""

from ckanext.files.errors import (
    CommitUnknownError,
    FilesError,
    InnerFailureError,
    OutOfQueueError,
)
from ckanext.files.queue import QueuedTask, TaskQueue, add_task, with_task_queue
from ckanext.files.transaction import on_commit

__all__ = [
    "CommitUnknownError",
    "FilesError",
    "InnerFailureError",
    "OutOfQueueError",
    "QueuedTask",
    "TaskQueue",
    "add_task",
    "on_commit",
    "with_task_queue",
]
