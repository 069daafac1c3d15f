"""The queue of one action, and the stack of actions that carry one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ckanext.files.errors import OutOfQueueError
from ckanext.files.transaction import Block


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


class TaskQueue:
    """The tasks of one call of an action."""

    __slots__ = ("_block", "_tasks", "action", "memo", "result")

    def __init__(self, action: str, block: Block | None) -> None:
        self._block = block
        self._tasks: deque[QueuedTask] = deque()

        self.action = action
        """Name of the action, such as ``package_update``."""

        self.memo: dict[Hashable, Any] = {}
        """What the validators of this one call share."""

        self.result: Any = None
        """What the action has returned, once its tasks run."""

    def add(self, task: QueuedTask) -> None:
        """Queue a task behind those already queued."""
        if not callable(task):
            raise TypeError(f"A task is called as task(result, idx, prev); {task!r} is no callable")
        if self._block:
            self._block.require_commit()
        self._tasks.append(task)

    def run(self, result: Any) -> bool:
        """Run all queued tasks, also those that a queued task adds.

        :param result: what the action returned.
        :returns: whether there were any.
        """
        self.result = result
        idx, prev = 0, None
        while self._tasks:
            self._mark()
            prev = self._tasks.popleft()(result, idx, prev)
            idx += 1
        return idx > 0

    def _mark(self) -> None:
        """Let a rollback within the next queued task undo no more than that."""
        if self._block:
            self._block.mark()


class _Stack(threading.local):
    """The queues that this thread is in. Not a context variable: see ``transaction.block``."""

    innermost: TaskQueue | None = None


_stack = _Stack()


@contextmanager
def innermost(queue: TaskQueue) -> Iterator[TaskQueue]:
    """Make this queue the one to which :func:`add_task` of this thread adds."""
    outer, _stack.innermost = _stack.innermost, queue
    try:
        yield queue
    finally:
        _stack.innermost = outer


def innermost_queue() -> TaskQueue | None:
    """Return the queue of the innermost action that carries one, if there is one."""
    return _stack.innermost


def current_queue() -> TaskQueue:
    """Return the queue of the innermost action that carries one.

    :raises OutOfQueueError: there is none.
    """
    if _stack.innermost is None:
        raise OutOfQueueError(
            "A task can only be queued inside of an action that carries a task queue:"
            " package_create, package_update, resource_create, resource_update, group_create,"
            " group_update, organization_create, organization_update, user_create, user_update,"
            " and every action decorated with ckanext.files.shared.with_task_queue."
            " The plugin 'files' has to be enabled in ckan.plugins."
        )
    return _stack.innermost


def add_task(task: QueuedTask) -> None:
    """Run a task inside the current action, after it has succeeded.

    The task is called as ``task(result, idx, prev)``: what the action returned
    (a string when the caller asked for ``return_id_only``), the position of
    the task in the queue from 0, and what the task before it returned (None
    for the first). What it changes in the database becomes true in the same
    commit as what the action changed. An exception in it undoes the action and
    reaches the caller of the action; a ``ValidationError`` is HTTP 409 there.

    A task may call actions, use savepoints and queue further tasks. It must
    not wait for another connection that needs rows which the action has
    changed: that connection would wait for the commit, which waits for the
    task.

    :param task: a :class:`QueuedTask`.
    :raises OutOfQueueError: no action of this thread carries a queue.
    """
    current_queue().add(task)
