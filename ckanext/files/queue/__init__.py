"""Queued tasks of one action, which run inside of it after it succeeded.

Code that runs within an action that carries a queue (validators above all) may
queue a task. When the action has returned, its queued tasks run in order, and
their changes commit together with the changes of the action. When anything
fails, nothing of it stays.
"""

from .decorator import with_task_queue
from .queue import QueuedTask, TaskQueue, add_task, current_queue, innermost_queue

__all__ = [
    "QueuedTask",
    "TaskQueue",
    "add_task",
    "current_queue",
    "innermost_queue",
    "with_task_queue",
]
