"""Tasks of one action, run inside of it after it succeeded.

Whatever runs within an action that carries a queue (validators above all) may
queue a task. When the action has returned, its tasks run in order, and what
they change becomes true in the same database commit as what the action
changed. When anything fails, nothing of it happened.
"""

from .decorator import with_task_queue
from .queue import TaskQueue, add_task, current_queue, innermost_queue
from .task import QueuedTask

__all__ = [
    "QueuedTask",
    "TaskQueue",
    "add_task",
    "current_queue",
    "innermost_queue",
    "with_task_queue",
]
