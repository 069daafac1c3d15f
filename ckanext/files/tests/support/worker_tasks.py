"""Tasks that real workers run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.background import (
    Call,
    JobAborted,
    JobContext,
    StepTimeout,
    Task,
    set_progress,
    task,
)
from ckanext.files.shared import on_commit
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import S, effect_at_once, effects_of, running
from ckanext.files.tests.support.sample import effect, noop
from ckanext.files.tests.support.waiting import wait_for

_SECONDS_TO_HOLD = 600
"""Longer than any test."""

_DEADLOCK = "DO $$ BEGIN RAISE deadlock_detected; END $$"


def wait_until_let_go(name: str) -> None:
    """Wait for the test, see ``jobs.let_go``."""
    wait_for(lambda: effects_of(f"go-{name}"), _SECONDS_TO_HOLD)


def _backend_pid() -> int:
    """Return PostgreSQL's process for the session of the step."""
    return model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()


@task
def steps(
    name: str, number: int, of: int, seconds: float = 0, holds: list[int] | None = None
) -> Call | None:
    """Write an effect at each of many steps, and hold in some."""
    time.sleep(seconds)
    if holds and number in holds:
        effect_at_once(f"{name}-{number:04}-holds-{time.time_ns()}")
        wait_until_let_go(f"{name}-{number:04}")
    effect(f"{name}-{number:04}")
    return steps(name, number + 1, of, seconds, holds) if number < of else None


@task
def time_steps(name: str, label: str, of: int = 1, seconds: float = 0) -> Call | None:
    """Write when each step began and ended."""
    effect_at_once(f"{name}-{time.time_ns()}-began-{label}")
    time.sleep(seconds)
    effect_at_once(f"{name}-{time.time_ns()}-ended-{label}")
    return time_steps(name, label, of - 1, seconds) if of > 1 else None


@task
def hold(name: str, fails: bool = False) -> None:
    """Write that it has begun, and end when the test lets it go."""
    effect_at_once(f"{name}-begun-{time.time_ns()}")
    wait_until_let_go(name)
    effect(f"{name}-ended")
    if fails:
        raise ValueError("wrong")


@task
def write_and_hold(name: str) -> None:
    """Hold within the transaction of the step, which has written something."""
    effect(name)
    hold.function(name)


@task(timeout=_SECONDS_TO_HOLD)
def hold_for_long(name: str) -> None:
    """As :func:`hold`, on a worker with less patience."""
    hold.function(name)


@task
def ask_and_hold(name: str) -> None:
    """As :func:`hold`, with a job and a callback that wait for the commit."""
    noop.delay()
    on_commit(lambda: None)
    hold.function(name)


@task
def hold_in_a_callback(name: str) -> None:
    """End soon, with a callback that holds for longer than the step may take."""

    def callback() -> None:
        wait_until_let_go(name)
        effect_at_once(f"{name}-ended")

    on_commit(callback)


@task
def hold_at_first(name: str) -> None:
    """Take a lock, and hold the first time, with something to commit, and no time later."""
    attempts = running().attempts
    model.Session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
    effect_at_once(f"{name}-begun-{attempts}-{_backend_pid()}")
    if not attempts:
        effect(f"{name}-in-vain")
        wait_until_let_go(name)
    effect(f"{name}-ended")


@task
def lock_both(name: str, first: int, second: int) -> None:
    """Take two locks, which another one takes in the other order: each waits for the other."""
    effect(name)
    lock = sa.text("SELECT pg_advisory_xact_lock(:key)")
    model.Session.execute(lock, {"key": first})
    effect_at_once(f"locked-{first}-{time.time_ns()}")
    wait_for(lambda: effects_of(f"locked-{second}-"), _SECONDS_TO_HOLD)
    model.Session.execute(lock, {"key": second})


@task
def deadlock_in_a_savepoint(name: str, catches: bool) -> None:
    """Be the one of two that PostgreSQL ends, the first time; go on without that part, or fail."""
    effect(f"{name}-{running().attempts}")
    with suppress(*[Exception] if catches else []), model.Session.begin_nested():
        if not running().attempts:
            model.Session.execute(sa.text(_DEADLOCK))
    if catches:
        raise ValueError("something else is wrong")


@task
def lose_the_connection(name: str, fails: bool) -> None:
    """Lose it the first time, and catch the error, as CKAN does when it tells of changes."""
    effect(name)
    if not running().attempts:
        with suppress(Exception):
            model.Session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        if fails:
            raise ValueError("this is not why")


class OddError(Exception):
    """Cannot be printed."""

    def __getattr__(self, name: str) -> Any:
        return self.data[name]


@task
def fail_oddly(name: str) -> None:
    """Fail with an error that cannot be printed, and a progress that PostgreSQL cannot hold."""
    set_progress(1e-50)
    raise OddError(name)


@task
def kill_the_worker(name: str) -> None:
    effect(name)
    os.kill(os.getpid(), signal.SIGKILL)


def _go_on_for_ever(in_sql: bool) -> None:
    while True:
        sum(range(1000))
        if in_sql:
            model.Session.execute(sa.text("SELECT pg_sleep(600)"))


@task(timeout=0.02)
def soon_too_late(name: str, in_sql: bool) -> None:
    effect(name)
    _go_on_for_ever(in_sql)


@task
def endless(name: str, where: str, steps: int = 0) -> Call | None:
    """After some steps, go on for ever in Python or SQL, or as if nothing had interrupted it."""
    if steps:
        effect(f"{name}-{steps}")
        return endless(name, where, steps - 1)
    effect_at_once(f"{name}-begun-{time.time_ns()}")
    effect(f"{name}-never")
    with suppress(*[BaseException] if where == "caught" else []):
        time.sleep(0.8) if where == "sleep" else _go_on_for_ever(in_sql=where == "SQL")
    effect(f"{name}-never-either")
    return None


@task
def in_sql_all_the_time(name: str, left: int) -> Call | None:
    effect(f"{name}-{left}")
    model.Session.execute(sa.text("SELECT pg_sleep(0.001)"))
    return in_sql_all_the_time(name, left - 1) if left else None


@task
def stuck(name: str, pipe: str, catches: bool) -> None:
    """Go on until the test writes into or removes a pipe, whatever interrupts it."""
    effect_at_once(f"{name}-begun")
    effect(f"{name}-never")
    while catches and Path(pipe).exists():
        with suppress(BaseException):
            time.sleep(0.01)
    with suppress(BaseException):
        Path(pipe).read_bytes()  # no exception interrupts this call
    effect_at_once(f"{name}-back")
    effect(f"{name}-never-either")


@task(pass_context=True)
def until_aborted(context: JobContext, name: str) -> None:
    effect_at_once(f"{name}-begun-{context.attempts}")
    effect(f"{name}-never")
    while not context.should_abort():
        time.sleep(0.01)
    raise JobAborted("it was cancelled")


@task
async def meet_async(name: str, number: int, of: int, fails: bool) -> None:
    """Wait until all have begun; write which connection the session has."""
    before = _backend_pid()
    effect_at_once(f"{name}-begun-{number}-{before}")
    effect(f"{name}-wrote-{number}")
    while len(effects_of(f"{name}-begun-")) < of:
        await asyncio.sleep(0.01)
    assert _backend_pid() == before
    if fails:
        raise ValueError(f"{number} fails")


@task(atomic=False)
def commit_and_hold(name: str, file: str, steps: int = 0) -> Call | None:
    """Commit, in the last step hold the first time, and commit; the file lets it go.

    It does not use the database meanwhile.
    """
    if steps:
        effect(f"{name}-step-{steps}")
        model.Session.commit()
        return commit_and_hold(name, file, steps - 1)
    attempts = running().attempts
    effect(f"{name}-begun-{attempts}")
    model.Session.commit()
    while not attempts and not Path(file).exists():
        time.sleep(0.01)
    effect(f"{name}-ended-{attempts}")
    model.Session.commit()
    return None


@task(atomic=False)
def hold_a_connection(name: str) -> None:
    """Hold a connection of its own; at a later run note whether anything of the first one lives."""
    if held := effects_of(f"{name}-begun-"):
        _, process, session = held[0].rsplit("-", 2)
        found = look(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)", pid=int(session)
        )
        effect(f"{name}-met-{found or Path('/proc', process).exists()}")
        model.Session.commit()
        return
    url = model.meta.engine.url.set(database="postgres")  # pyright: ignore[reportOptionalMemberAccess]
    with sa.create_engine(url).connect() as connection:
        session = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        effect_at_once(f"{name}-begun-{os.getpid()}-{session}")
        wait_until_let_go(name)


@task(atomic=False)
def time_open_steps(name: str, step: int, of: int, seconds: float) -> Call | None:
    """Write and commit when each run of each step began and ended."""
    for what in ("began", "ended"):
        effect(f"{name}-{time.time_ns()}-{what}-{step}-{running().attempts}")
        model.Session.commit()
        time.sleep(seconds)
    return time_open_steps(name, step + 1, of, seconds) if step < of else None


class TooSlowError(StepTimeout, RuntimeError):
    """Interrupts :func:`interrupted_openly`, which knows only the second base."""


class _TaskWithTimeouts(Task[Any]):
    """Its jobs have timeouts of their own, and its steps are interrupted by its own exception."""

    timeout_error = TooSlowError

    def timeout_of(self, job_id: int) -> float:
        return look(f"SELECT args->'seconds' FROM {S}.procrastinate_jobs WHERE id = :id", id=job_id)


def _interrupted_openly(name: str, then: str, seconds: float) -> None:
    """Go on for ever, and end as told after an interrupt."""
    effect(f"{name}-begun")
    model.Session.commit()
    try:
        _go_on_for_ever(in_sql=then == "SQL")
    except RuntimeError:
        model.Session.rollback()
        effect(f"{name}-clean")
        model.Session.commit()
        if then == "other error":
            raise ValueError("it was too slow") from None
        if then == "same error":
            raise


interrupted_openly = _TaskWithTimeouts(_interrupted_openly, atomic=False)


@task(atomic=False)
def stuck_openly(name: str, pipe: str) -> None:
    """Go on until the test writes into a pipe, whatever interrupts it, and commit something."""
    effect_at_once(f"{name}-begun-{running().attempts}")
    with suppress(BaseException):
        Path(pipe).read_bytes()  # no exception interrupts this call
    effect_at_once(f"{name}-back")


@task(atomic=False)
def conflict_openly(name: str, lost: bool) -> None:
    """The first time lose the connection, or be the one of two that PostgreSQL ends."""
    effect(f"{name}-{running().attempts}")
    model.Session.commit()
    sql = "SELECT pg_terminate_backend(pg_backend_pid())" if lost else _DEADLOCK
    if not running().attempts:
        model.Session.execute(sa.text(sql))


@task
def progress_by_and_by(name: str) -> None:
    for percent in (25, 50, 75):
        set_progress(percent, f"{name}: {percent} of 100")
        wait_until_let_go(f"{name}-{percent}")


@task
def say(text: str) -> None:
    print(text)  # noqa: T201 - what a task prints
