"""The process that looks after workers; these do nothing but stay there."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import time
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
"""Then the workers end by themselves, if the test has not ended them."""

PR_SET_CHILD_SUBREAPER = 36
ORPHAN = "(sleep 0.1; exit 1) >/dev/null 2>&1 & echo $!"
PID = sa.text("SELECT pg_backend_pid()")


def test_connections_and_orphans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of two workers has connections of its own, and is replaced when it dies.

    Also of an extension's engine, and of a session that was left within a transaction. The
    first process of a container becomes the parent of those that have lost theirs: no workers.
    """
    log, url, engines = tmp_path / "log", engine().url, []

    def run() -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        processes.log.addHandler(logging.FileHandler(log))
        engines.append(sa.create_engine(url))
        engines[0].connect().close()
        model.Session.execute(sa.text("SELECT 1"))
        processes.run_processes(None, WorkerOptions(wait=False), 2)

    def work(*_: Any, parent: int) -> None:
        with engines[0].connect() as connection:
            used = [each.execute(PID).scalar() for each in (connection, model.Session)]
            orphan = int(subprocess.check_output(["sh", "-c", ORPHAN]))
            unfinished = tmp_path / f"{os.getpid()}.unfinished"
            unfinished.write_text(json.dumps([orphan, *used]))
            unfinished.rename(unfinished.with_suffix(".note"))
            time.sleep(SECONDS_TO_STAY)

    def noted(workers: int) -> dict[int, list[int]]:
        """Wait until so many workers have noted something; return what, by their ids."""
        files = wait_for(lambda: len(all_ := list(tmp_path.glob("*.note"))) == workers and all_)
        return {int(file.stem): json.loads(file.read_text()) for file in files}

    monkeypatch.setattr(processes, "run_worker", work)
    pid = fork(run)
    try:
        (orphan, *one), (other_orphan, *other) = noted(2).values()
        assert len({*one, *other}) == 4
        for each in (orphan, other_orphan):
            wait_for(lambda pid=each: not Path(f"/proc/{pid}").exists())
        killed = min(noted(2))
        os.kill(killed, signal.SIGKILL)
        noted(3)
        assert log.read_text().count("has ended") == 1
        assert f"Worker process {killed} has ended" in log.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
