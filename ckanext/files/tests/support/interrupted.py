"""Asking for jobs, interrupted before the commit: the process is killed, or the session ended.

An attempt makes a change and asks for a job, both with the name of the attempt, and commits.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from ckan import model
from ckan.lib import jobs
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.ckan_jobs import commit
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import Effects, engine, rows
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.probe_plugin import ProbePlugin, in_action
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction.connection import connect

Asked = Callable[[], Any]
"""What an attempt calls when it has asked: from then on it is interrupted."""

Way = Callable[[str, Asked], None]
"""Makes an attempt."""

_LONGEST = 0.003
"""Seconds until the interruption at most. A commit takes about as long. Half of the attempts wait
for it."""


def ask(name: str) -> None:
    tk.enqueue_job(jobs.test_job, title="Title", rq_kwargs={"job_id": name})


def in_frame(name: str, asked: Asked) -> None:
    """Within the frame of an action, which commits."""

    def act() -> None:
        Effects().write(name)
        ask(name)
        asked()

    in_action(act)


def before_commit(name: str, asked: Asked) -> None:
    """In ``notify``, which CKAN calls within the commit."""

    def notify(*_: Any) -> None:
        ask(name)
        asked()

    package = model.Session.query(model.Package).first()
    assert package
    package.title = name
    Effects().write(name)
    ProbePlugin.hooks["notify"] = notify
    model.Session.commit()


def in_session(name: str, asked: Asked) -> None:
    """In a session with changes."""
    Effects().write(name)
    ask(name)
    asked()
    model.Session.commit()


def alone(name: str, asked: Asked) -> None:
    """In a session without changes: asking is the commit."""
    asked()
    ask(name)


def naively_before(name: str, asked: Asked) -> None:
    """Negative control: the job is there before the change, as with RQ."""
    Effects().write(name)
    thread = threading.Thread(target=ask, args=[name])
    thread.start()
    thread.join()
    asked()
    model.Session.commit()


def naively_after(name: str, asked: Asked) -> None:
    """Negative control: the job is asked for after the commit."""
    Effects().write(name)
    model.Session.commit()
    asked()
    ask(name)


def naively_again(name: str, asked: Asked) -> None:
    """Negative control: the job is asked for again when a worker has begun it."""
    ask(name)
    jobs.Worker().work(burst=True)
    asked()
    ask(name)


class Attempts(NamedTuple):
    """The attempts that were made in a way, by name."""

    interrupted: set[str]
    returned: set[str]
    """The caller was not interrupted, or has been answered nevertheless."""


def make(way: Way, how: Callable[[Way, str], tuple[bool, bool]], name: str, count: int) -> Attempts:
    """Make attempts until so many were interrupted.

    :param how: :func:`killed` or :func:`cut`.
    """
    attempts = Attempts(set(), set())
    number = 0
    while len(attempts.interrupted) < count:
        number += 1
        each = f"{name}-{way.__name__}-{how.__name__}-{number}"
        for found, names in zip(how(way, each), attempts, strict=True):
            if found:
                names.add(each)
    return attempts


def killed(way: Way, name: str) -> tuple[bool, bool]:
    """Kill the process that asks; return whether it was interrupted, and whether it has ended."""
    read, write = os.pipe()
    waits = _coin()

    def asked() -> None:
        os.write(write, b"a")
        if waits:
            signal.pause()

    def attempt() -> None:
        _backend(way)  # it connects, which would take longer than all the rest
        way(name, asked)
        os.write(write, b"r")

    child = fork(attempt)
    os.close(write)
    with os.fdopen(read, "rb", buffering=0) as pipe:
        assert pipe.read(1) == b"a"
        time.sleep(random.uniform(0, _LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        returned = pipe.read(1) == b"r"
    return not returned, returned


def cut(way: Way, name: str) -> tuple[bool, bool]:
    """End the session that asks, at once or a moment later; return the same."""
    cutters: list[Cutter] = []

    def asked() -> None:
        cutters.append(Cutter(_backend(way)))

    try:
        way(name, asked)
        returned = True
    except SQLAlchemyError:
        returned = False
    [cutter] = cutters
    cutter.join()
    model.Session.remove()
    ProbePlugin.hooks.clear()
    # the process makes its own connection again, and repeats the statement
    again = way is alone and _backend(way) != cutter.pid
    return again or not returned, returned


class Cutter(threading.Timer):
    """Ends a session of the database, at once or a moment later."""

    def __init__(self, pid: int) -> None:
        super().__init__(random.uniform(0, _LONGEST), self._end)
        self.pid = pid
        self.start()
        if _coin():
            self.join()

    def _end(self) -> None:
        with _administration(engine()).cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [self.pid])


def _coin() -> bool:
    return random.random() < 0.5


def _backend(way: Way) -> int:
    """Return PostgreSQL's process for the transaction of an attempt."""
    session: Any = model.Session.connection().connection.dbapi_connection
    return (commit._own._connected(model.meta.engine) if way is alone else session).info.backend_pid


@functools.cache
def _administration(engine: Any) -> Any:
    """Return a connection that is not one of the engine's: an engine that lost one drops all."""
    return connect(engine)


class Findings(NamedTuple):
    """What must not be: the names of the attempts."""

    lost: set[str]
    """The change is committed, or the caller has been answered, but there is no job."""

    phantom: set[str]
    """There is a job, but its change is not committed."""

    undone: set[str]
    """The caller has been answered, but the change is not committed."""

    doubled: set[str]
    """There is more than one job that was not cancelled, also without its id."""


_DOUBLED = f"""
    SELECT r.rq_id FROM {S}.files_rq_job r JOIN {S}.procrastinate_jobs j ON j.id = r.job_id
    WHERE j.status <> 'cancelled' AND starts_with(r.rq_id, :name)
    GROUP BY r.rq_id HAVING count(*) > 1
"""


def examine(way: Way, attempts: Attempts, name: str) -> Findings:
    """Compare the jobs with the changes, over a second connection."""
    wait_for_the_dead()
    jobs = f"SELECT rq_id FROM {S}.files_rq_job WHERE current AND starts_with(rq_id, :name)"
    changes = "SELECT name FROM files_test_effect WHERE starts_with(name, :name)"
    asked, changed = (
        {found for (found,) in rows(query, name=f"{name}-{way.__name__}-")}
        for query in (jobs, changes)
    )
    doubled = {found for (found,) in rows(_DOUBLED, name=f"{name}-{way.__name__}-")}
    if way is alone:
        return Findings(attempts.returned - asked, set(), set(), doubled)
    return Findings(changed - asked, asked - changed, attempts.returned - changed, doubled)
