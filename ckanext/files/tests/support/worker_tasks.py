"""Tasks that real workers run."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Call, JobAborted, JobContext, current_job, set_progress, task
from ckanext.files.background.schema import SCHEMA
from ckanext.files.shared import on_commit
from ckanext.files.tests.support import witness
from ckanext.files.tests.support.jobs import effect_at_once, effects_of
from ckanext.files.tests.support.sample import effect
from ckanext.files.tests.support.waiting import wait_for

_SECONDS_TO_HOLD = 600
"""Longer than any test."""


def wait_until_let_go(name: str) -> None:
    """Wait for the test, see ``jobs.let_go``."""
    wait_for(lambda: effects_of(f"go-{name}"), _SECONDS_TO_HOLD)


@task
def steps(name: str, number: int, of: int, seconds: float = 0) -> Call | None:
    """Write an effect at each of many steps."""
    time.sleep(seconds)
    effect(f"{name}-{number:04}")
    return steps(name, number + 1, of, seconds) if number < of else None


@task
def hold(name: str) -> None:
    """Tell that it has begun, and end when the test lets it go."""
    effect_at_once(f"{name}-begun-{time.time_ns()}")
    wait_until_let_go(name)
    effect(f"{name}-ended")


@task
def ask_and_hold(name: str) -> None:
    """As :func:`hold`, with a job and a callback that wait for the commit."""
    hold.delay(name)
    on_commit(lambda: None)
    hold.function(name)


@task(timeout=0.1)
def hold_in_a_callback(name: str) -> None:
    """End soon, with a callback that holds for longer than the step may take."""

    def callback() -> None:
        wait_until_let_go(name)
        effect_at_once(f"{name}-ended")

    on_commit(callback)


@task
def hold_at_first(name: str) -> None:
    """Hold the first time, with something to commit, and no time later."""
    job = current_job()
    assert job
    effect_at_once(f"{name}-begun-{job.attempts}")
    if not job.attempts:
        effect(f"{name}-in-vain")
        wait_until_let_go(name)
    effect(f"{name}-ended")


@task
def steps_with_a_hold(name: str, number: int, of: int, holds: list[int]) -> Call | None:
    """Write an effect at each of many steps, and hold in some."""
    effect_at_once(f"{name}-{number:04}")
    if number in holds:
        wait_until_let_go(f"{name}-{number:04}")
    return steps_with_a_hold(name, number + 1, of, holds) if number < of else None


@task
def interval(name: str, number: int, of: int = 1, seconds: float = 0.1) -> Call | None:
    """Tell when each step began and ended."""
    effect_at_once(f"{name}-{time.time_ns()}-begun-{number}")
    time.sleep(seconds)
    effect_at_once(f"{name}-{time.time_ns()}-ended-{number}")
    return interval(name, number, of - 1, seconds) if of > 1 else None


@task
def write_time(name: str) -> None:
    effect(f"{name}-{time.time_ns()}")


@task
def write_steps_of(name: str, job: int) -> None:
    """Tell how many steps another job has done."""
    steps = sa.text(f"SELECT step FROM {SCHEMA}.files_job WHERE job_id = :job")
    effect(f"{name}-{model.Session.execute(steps, {'job': job}).scalar_one()}")


@task
def take_turns(name: str, other: str, number: int, of: int) -> Call | None:
    """Tell when each step ran."""
    effect(f"{name}-{time.time_ns()}-{other}")
    return take_turns(name, other, number + 1, of) if number < of else None


@task
def lock_both(name: str, first: int, second: int) -> None:
    """Take two locks, which another one takes in the other order: each waits for the other."""
    effect(name)
    lock = sa.text("SELECT pg_advisory_xact_lock(:key)")
    model.Session.execute(lock, {"key": first})
    effect_at_once(f"locked-{first}-{time.time_ns()}")
    wait_for(lambda: effects_of(f"locked-{second}-"), _SECONDS_TO_HOLD)
    model.Session.execute(lock, {"key": second})


_DEADLOCK = sa.text("DO $$ BEGIN RAISE deadlock_detected; END $$")


@task
def deadlock_in_a_savepoint(name: str, catches: bool) -> None:
    """Be the one of two that PostgreSQL ends, the first time; go on without that part, or fail."""
    job = current_job()
    assert job
    effect(f"{name}-{job.attempts}")
    with suppress(*[Exception] if catches else []), model.Session.begin_nested():
        if not job.attempts:
            model.Session.execute(_DEADLOCK)
    if catches:
        raise ValueError("something else is wrong")


@task
def lose_the_connection(name: str, fails: bool) -> None:
    """Lose it the first time, and catch the error, as CKAN does when it tells of changes."""
    job = current_job()
    assert job
    effect(name)
    if not job.attempts:
        with suppress(Exception):
            model.Session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        if fails:
            raise ValueError("this is not why")


@task
def hold_a_lock(name: str) -> None:
    """Take a lock, tell by which session, and hold the first time."""
    job = current_job()
    assert job
    model.Session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
    effect_at_once(f"{name}-locked-{job.attempts}-{_connection()}")
    if not job.attempts:
        wait_until_let_go(name)
    effect(f"{name}-ended")


@task
def hold_and_fail(name: str) -> None:
    effect_at_once(f"{name}-begun")
    wait_until_let_go(name)
    raise ValueError("wrong")


class OddError(Exception):
    """Cannot be printed."""

    def __getattr__(self, name: str) -> Any:
        return self.data[name]


@task
def fail_oddly(name: str) -> None:
    raise OddError(name)


@task
def fail_with_a_tiny_progress(name: str) -> None:
    set_progress(1e-50)
    raise ValueError(name)


@task
def kill_the_worker(name: str) -> None:
    effect(name)
    os.kill(os.getpid(), signal.SIGKILL)


def _go_on_for_ever(in_sql: bool) -> None:
    while True:
        sum(range(1000))
        if in_sql:
            model.Session.execute(sa.text("SELECT pg_sleep(600)"))


@task(timeout=0.5)
def busy(name: str) -> None:
    effect(name)
    _go_on_for_ever(in_sql=False)


@task(timeout=0.5)
def asleep_in_sql(name: str) -> None:
    effect(name)
    _go_on_for_ever(in_sql=True)


@task(timeout=0.5)
def asleep(name: str) -> None:
    effect(name)
    time.sleep(0.8)


@task(timeout=0.02)
def soon_too_late(name: str, in_sql: bool) -> None:
    effect(name)
    _go_on_for_ever(in_sql)


@task
def endless(name: str, in_sql: bool) -> None:
    """Ask for nothing, and never end."""
    effect(name)
    effect_at_once(f"{name}-begun-{time.time_ns()}")
    _go_on_for_ever(in_sql)


@task
def endless_after_a_step(name: str, steps: int) -> Call:
    if not steps:
        endless.function(name, False)
    effect(f"{name}-{steps}")
    return endless_after_a_step(name, steps - 1)


@task(timeout=0.5)
def catch_all(name: str) -> None:
    """Catch what interrupts it, and end as if nothing was."""
    effect_at_once(f"{name}-begun")
    with suppress(BaseException):
        _go_on_for_ever(in_sql=False)
    effect(f"{name}-never")


@task
def catch_all_for_ever(name: str) -> None:
    catch_all.function(name)


@task
def in_sql_all_the_time(name: str, left: int) -> Call | None:
    effect(f"{name}-{left}")
    model.Session.execute(sa.text("SELECT pg_sleep(0.001)"))
    return in_sql_all_the_time(name, left - 1) if left else None


@task(timeout=0.5)
def out_of_reach(name: str, pipe: str) -> None:
    """Wait until the test writes into a pipe, in a call that no exception interrupts."""
    effect(name)
    with suppress(BaseException):
        Path(pipe).read_bytes()
    effect_at_once(f"{name}-back")
    effect(f"{name}-never")


@task
def out_of_reach_for_ever(name: str, pipe: str) -> None:
    effect_at_once(f"{name}-begun")
    out_of_reach.function(name, pipe)


@task(timeout=0.5)
def stubborn(name: str, pipe: str) -> None:
    """Catch what interrupts it, and go on."""
    effect(name)
    while not Path(pipe).with_suffix(".end").exists():
        with suppress(BaseException):
            time.sleep(0.01)
    effect_at_once(f"{name}-back")
    effect(f"{name}-never")


@task(pass_context=True)
def until_aborted(context: JobContext, name: str) -> None:
    effect_at_once(f"{name}-begun-{context.attempts}")
    effect(f"{name}-never")
    while not context.should_abort():
        time.sleep(0.01)
    raise JobAborted("it was cancelled")


@task
async def meet_async(name: str, number: int, of: int, fails: bool) -> None:
    """Wait until all have begun; tell which connection the session has."""
    before = _connection()
    effect_at_once(f"{name}-begun-{number}-{before}")
    effect(f"{name}-wrote-{number}")
    while len(effects_of(f"{name}-begun-")) < of:
        await asyncio.sleep(0.01)
    assert _connection() == before
    if fails:
        raise ValueError(f"{number} fails")


def _connection() -> int:
    return model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()


@task
def progress_by_and_by(name: str) -> None:
    for percent in (25, 50, 75):
        set_progress(percent, f"{name}: {percent} of 100")
        wait_until_let_go(f"{name}-{percent}")


@task
def say(text: str) -> None:
    print(text)  # noqa: T201 - what a task prints


@task
def work(run: str, number: int, step: int, steps: int, datasets: list[str]) -> Call | None:
    """Change the database at each step, through the session and through an action of CKAN."""
    dataset = witness.dataset_of(number, step, datasets)
    title = model.Session.execute(_LOCKED_TITLE, {"id": dataset}).scalar_one()
    witness.write_through_session(_values(run, number, step, dataset))
    patch = {"id": dataset, "title": str(int(title) + 1)}
    tk.get_action("package_patch")({"ignore_auth": True}, patch)
    return work(run, number, step + 1, steps, datasets) if step < steps else None


@task
def work_naively(run: str, number: int, step: int, steps: int, datasets: list[str]) -> Call | None:
    """Commit the effects of each step before the step is."""
    # at any time some steps stand before the one commit, and some before the other
    time.sleep(random.uniform(0.2, 0.6))
    dataset = witness.dataset_of(number, step, datasets)
    witness.write_apart(_values(run, number, step, dataset))
    time.sleep(random.uniform(0.05, 0.15))
    return work_naively(run, number, step + 1, steps, datasets) if step < steps else None


_LOCKED_TITLE = sa.text("SELECT title FROM package WHERE id = :id FOR UPDATE")


def _values(run: str, number: int, step: int, dataset: str) -> dict[str, Any]:
    job = current_job()
    assert job
    return {
        "run": run,
        "number": number,
        "step": step,
        "dataset": dataset,
        "job_id": job.id,
        "attempts": job.attempts,
    }
