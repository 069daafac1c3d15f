"""A worker within a process that has more to do, until no job waits any more."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckan import model

from .options import WorkerOptions
from .worker import SIGNALS, Worker


def run_burst(flask_app: Any, options: WorkerOptions) -> int:
    """Run the jobs that wait, and leave CKAN's engine as it was; return how many steps it were.

    The session of the caller is removed: what it has not committed is rolled back.

    :param flask_app: None if there is none: then the steps have no request context.
    :raises NotInstalledError: the tables are missing.
    """
    before: Any = model.meta.engine
    worker = Worker(flask_app, dataclasses.replace(options, wait=False))
    own: Any = model.meta.engine
    try:
        with _stopped_by_signals(worker):
            worker.run()
    finally:
        model.init_model(before)
        own.dispose()
    return worker.steps


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
