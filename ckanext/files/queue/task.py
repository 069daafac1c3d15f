"""What can be queued."""

from __future__ import annotations

from typing import Any, Protocol


class QueuedTask(Protocol):
    """Any callable of this shape."""

    def __call__(self, result: Any, idx: int, prev: Any, /) -> Any:
        """Run inside the action that queued the task, after it succeeded.

        :param result: exactly what the action returned.
        :param idx: position of the task in its queue, from 0.
        :param prev: what the task before it returned; None for the first.
        :returns: anything; the next task receives it as ``prev``.
        """
        ...
