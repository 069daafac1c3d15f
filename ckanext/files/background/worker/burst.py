"""A worker within a process that has more to do, until no job waits any more."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model

from .environment import name_sessions_of_tasks
from .options import WorkerOptions
from .worker import SIGNALS, Worker


def run_burst(flask_app: Any, options: WorkerOptions) -> int:
    """Run the jobs that wait, and leave CKAN's engine as it was; return how many steps it were.

    The session of the caller is removed: what it has not committed is rolled back.

    :param flask_app: None if there is none: then the steps have no request context.
    :raises NotInstalledError: the tables are missing.
    """
    with _own_engine():
        worker = Worker(flask_app, dataclasses.replace(options, wait=False))
        with _stopped_by_signals(worker):
            worker.run()
    return worker.steps


@contextmanager
def _own_engine() -> Iterator[None]:
    """Put back the engine that a worker within replaces, and the names of sessions."""
    before: Any = model.meta.engine
    name = name_sessions_of_tasks(None)
    try:
        yield
    finally:
        name_sessions_of_tasks(name)
        own: Any = model.meta.engine
        model.init_model(before)
        own.dispose()


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread only
        return
    before = {number: signal.signal(number, worker.stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
