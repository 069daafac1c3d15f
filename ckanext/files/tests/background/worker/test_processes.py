"""The process that looks after workers; these do nothing but stay there."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background.worker import WorkerOptions, processes
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_background")

SECONDS_TO_STAY = 60
"""Then they end by themselves, if the test has not ended them."""

PR_SET_CHILD_SUBREAPER = 36
PID = sa.text("SELECT pg_backend_pid()")


@contextmanager
def supervised(before: Callable[[], Any]) -> Iterator[None]:
    """Two workers, in a process that does something else before it starts them."""

    def run() -> None:
        before()
        processes.run_processes(None, WorkerOptions(wait=False), 2)

    pid = fork(run)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


class Notes:
    """What each process of a test writes down, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, numbers: list[int]) -> None:
        unfinished = self._folder / f"{os.getpid()}.unfinished"
        unfinished.write_text(json.dumps(numbers))
        unfinished.rename(unfinished.with_suffix(".note"))

    def of_both(self) -> dict[int, list[int]]:
        """Wait until two have written; return what, by their ids."""
        files = wait_for(lambda: len(found := list(self._folder.glob("*.note"))) == 2 and found)
        return {int(file.stem): json.loads(file.read_text()) for file in files}


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def test_each_has_connections_of_its_own(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an extension's engine, and of a session that was left within a transaction."""
    url = engine().url
    engines: list[Any] = []

    def connect() -> None:
        engines.append(sa.create_engine(url))
        engines[0].connect().close()
        model.Session.execute(sa.text("SELECT 1"))

    def work(*_: Any, parent: int) -> None:
        with engines[0].connect() as connection:
            used = [connection, model.Session]
            notes.write([each.execute(PID).scalar() for each in used])
            time.sleep(SECONDS_TO_STAY)

    monkeypatch.setattr(processes, "run_worker", work)
    with supervised(connect):
        one, other = notes.of_both().values()
        assert len({*one, *other}) == 4


def test_orphans_are_no_workers(
    notes: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first process of a container becomes the parent of those that have lost theirs."""
    log = tmp_path / "log"

    def inherit() -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        processes.log.addHandler(logging.FileHandler(log))

    def work(*_: Any, parent: int) -> None:
        orphan = "(sleep 0.1; exit 1) >/dev/null 2>&1 & echo $!"
        notes.write([int(subprocess.check_output(["sh", "-c", orphan]))])
        time.sleep(SECONDS_TO_STAY)

    monkeypatch.setattr(processes, "run_worker", work)
    with supervised(inherit):
        workers = notes.of_both()
        for [orphan] in workers.values():
            wait_for(lambda pid=orphan: not Path(f"/proc/{pid}").exists())
        killed = min(workers)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: f"Worker process {killed} has ended" in log.read_text())
        assert log.read_text().count("has ended") == 1
