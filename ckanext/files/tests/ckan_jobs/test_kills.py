"""Processes that are killed, and connections that are cut, while they ask for jobs."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.lib import jobs

from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import Effects, rows
from ckanext.files.tests.support.jobs import S, cut
from ckanext.files.tests.support.waiting import wait_for, wait_for_the_dead


def ask(rq_id: str) -> Any:
    return tk.enqueue_job(jobs.test_job, title="Title", rq_kwargs={"job_id": rq_id})


@pytest.mark.parametrize("end", ["kill", "cut"])
def test_no_job_is_lost_and_none_is_too_much(
    end: str, effects: Effects, name: str, tmp_path: Path, full_size: bool
) -> None:
    """A change and its job are both there or neither is; so is one whose call has returned."""
    done = tmp_path / "done"
    done.touch()

    def ask_and_ask() -> None:
        for number in itertools.count():
            rq_id = f"{name}-{os.getpid()}-{number}"
            effects.write(rq_id)
            ask(rq_id)
            model.Session.commit()
            ask(f"{rq_id}-alone")
            with done.open("a") as file:
                file.write(f"{rq_id}-alone\n")

    for _ in range(500 if full_size else 10):
        before = done.stat().st_size
        child = fork(ask_and_ask)
        wait_for(lambda before=before: done.stat().st_size > before)
        time.sleep(random.uniform(0, 0.03))
        _kill(child) if end == "kill" else _cut(child)
    wait_for_the_dead()

    found = rows(f"SELECT rq_id FROM {S}.files_rq_job WHERE starts_with(rq_id, :name)", name=name)
    written = {rq_id for (rq_id,) in found}
    alone = {rq_id for rq_id in written if rq_id.endswith("-alone")}
    changes = rows("SELECT name FROM files_test_effect WHERE starts_with(name, :name)", name=name)
    assert written - alone == {change for (change,) in changes}
    returned = set(done.read_text().split())
    assert returned <= alone
    assert alone <= {f"{change}-alone" for (change,) in changes}
    assert len(returned) >= 10


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _cut(child: int) -> None:
    """Cut the connection of the session: the child gets an error, and ends."""
    others = "application_name = '' AND state <> 'idle' AND pid <> pg_backend_pid()"
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {others}"
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        cut([pid for (pid,) in rows(query)])
