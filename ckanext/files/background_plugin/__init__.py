"""The plugin ``files_background``: options, actions, commands, and the header that names a job.

For other extensions: :func:`set_task_location`.
"""

from .location import set_task_location

__all__ = ["set_task_location"]
