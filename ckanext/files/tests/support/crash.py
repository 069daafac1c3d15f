"""Processes that are forks of the tests, and processes that are killed."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from ckan import model
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.probe_plugin import ProbePlugin, in_hold
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction.session import HeldSession


def fork(run: Callable[[], Any]) -> int:
    """Run something in a process of its own and return its id.

    It has the plugins of this process loaded, and connections of its own.
    """
    model.Session.remove()
    pid = os.fork()
    if pid:
        return pid
    try:
        engine().dispose(close=False)  # pyright: ignore[reportCallIssue]  # those connections are the parent's
        run()
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


class Fork:
    """For a function what :class:`subprocess.Popen` is for a command. It ends with the tests."""

    def __init__(self, run: Callable[[], Any], log: BinaryIO) -> None:
        def run_and_print() -> None:
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _print_into(log)
            try:
                run()
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(int(end.code or 0))

        self.pid = fork(run_and_print)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float | None = 60) -> int:
        """Wait until it has ended."""
        end = time.monotonic() + (timeout or 60)
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 60)
            time.sleep(0.01)
        return status


def _print_into(log: BinaryIO) -> None:
    """Leave pytest's capturing."""
    for number in (1, 2):
        os.dup2(log.fileno(), number)
    threading.excepthook = threading.__excepthook__
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


_MOST_KILLS = 500
"""Each is a process, and the next one runs longer."""


def kill_at_each(
    event_names: Sequence[str], run: Callable[[], Any], check: Callable[[], Any]
) -> int:
    """Run something in a process that is killed at its first event, then at its second, ...

    Returns the number of kills, when a process has come to its end.

    :param check: called after each kill.
    """
    kills = 0
    while was_killed(fork(lambda kills=kills: (_die_at(kills + 1, event_names), run()))):
        check()
        kills += 1
        assert kills < _MOST_KILLS, (
            "not done after 500 kills: let it work on rows of its own test only"
        )
    return kills


def _die_at(number: int, event_names: Sequence[str]) -> None:
    """Be killed at one of the events of all engines, counted from 1; a query does not count."""
    left = itertools.count(number, -1)

    def count(_: Any, _cursor: Any = None, statement: str = "", *_more: Any) -> None:
        if not statement.lstrip().upper().startswith("SELECT") and next(left) == 1:
            kill_now()

    for name in event_names:
        event.listen(Engine, name, count)


def kill_now(*_: Any) -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def was_killed(pid: int) -> bool:
    """Wait for a process; tell whether it was killed rather than ended."""
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die_between_solr_and_commit(do: Callable[[], Any]) -> None:
    """Do something with a hold in a process that is killed while Solr is ahead."""

    def run() -> None:
        kill_at_the_commit()
        in_hold(do)

    assert was_killed(fork(run))
    wait_for_the_dead()


def kill_after_the_last_task() -> None:
    """Be killed before anything is sent to Solr or committed."""
    # CKAN 2.12 makes the document before the commit, CKAN 2.11 within it
    ProbePlugin.hooks["before_dataset_index"] = kill_now

    def before_commit(session: Any) -> None:
        if not isinstance(session, HeldSession) and not session.get_nested_transaction():
            kill_now()

    event.listen(model.Session, "before_commit", before_commit, insert=True)


def kill_at_the_commit() -> None:
    """Be killed right before the COMMIT, when Solr is ahead of PostgreSQL."""
    event.listen(engine(), "commit", kill_now)
