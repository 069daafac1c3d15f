"""Steps: the effects of a task, and where its job goes on, in one commit."""

from __future__ import annotations

import asyncio
import datetime as dt
from itertools import pairwise
from typing import Any

import pytest
from ckan import model
from ckan.tests import factories

from ckanext.files.background import (
    ArgumentError,
    Call,
    UnknownTaskError,
    control,
    current_job,
    deserialize_task,
    record,
)
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, count_commits, look, statements, watch
from ckanext.files.tests.support.job_rows import Define, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import title_in_solr

loaded = load_plugins("files", "files_background")

STEP = f"(SELECT coalesce(max(step), 0) FROM {SCHEMA}.files_job WHERE job_id = :id)"
EFFECTS = "(SELECT count(*) FROM files_test_effect WHERE name LIKE :names)"


# trampolines


def test_a_job_of_many_steps(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    """One job, one row, one id; its arguments stay as the request gave them."""
    name = unique("job")
    job = sample.count_down.delay(name, 3, 3)
    assert tasks.run_pending_jobs().steps == 4
    assert all(effects.exists(f"{name}-{number}") for number in range(4))
    row = tasks.jobs[job.id]
    assert len(tasks.jobs) == 1
    assert row["args"] == {"name": name, "total": 3, "remaining": 3}
    assert (row["status"], row["attempts"], shown(job).step) == ("succeeded", 1, 4)
    assert [event.type for event in record.history(job.id)] == ["deferred", "started", "succeeded"]


def test_stack_does_not_grow(define: Define, tasks: TasksManager) -> None:
    module = define("""
        import sys
        depths = []

        @task
        def wait(times):
            frame, depth = sys._getframe(), 0
            while frame := frame.f_back:
                depth += 1
            depths.append(depth)
            if times:
                return wait(times - 1)
    """)
    module.wait.delay(200)
    tasks.run_pending_jobs()
    assert len(module.depths) == 201
    assert len(set(module.depths)) == 1


def test_effects_and_step_are_seen_together(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Although the task commits by itself, and calls actions that do."""
    module = define("""
        import time
        import ckan.plugins.toolkit as tk
        from ckan import model
        from ckanext.files.tests.support.sample import effect
        from ckanext.files.tests.support.waiting import wait_for

        @task
        def work(name, dataset, times):
            done = ("doing", 2 - times)
            wait_for(lambda: done in {row[:2] for row in list(seen)})
            for number in range(2):
                effect(f"{name}-{times}-{number}")
                model.Session.commit()
                time.sleep(0.01)
            patch = {"id": dataset, "title": f"title {times}"}
            tk.get_action("package_patch")({"ignore_auth": True}, patch)
            time.sleep(0.01)
            if times:
                return work(name, dataset, times - 1)
    """)
    name, dataset = unique("job"), factories.Dataset(title="none")
    job = module.work.delay(name, dataset["id"], 2)
    title = "(SELECT title FROM package WHERE id = :dataset)"
    state = f"(SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = :id)"
    model.Session.commit()
    with watch(
        f"SELECT {state}, {STEP}, {EFFECTS}, {title}",
        id=job.id,
        names=f"{name}-%",
        dataset=dataset["id"],
    ) as seen:
        module.seen = seen
        tasks.run_pending_jobs()
    assert seen == {
        ("todo", 0, 0, "none"),
        ("doing", 0, 0, "none"),
        ("doing", 1, 2, "title 2"),
        ("doing", 2, 4, "title 1"),
        ("succeeded", 3, 6, "title 0"),
    }
    assert title_in_solr(dataset["id"]) == "title 0"


def test_one_commit_a_step(define: Define, tasks: TasksManager) -> None:
    module = define("""
        import ckan.plugins.toolkit as tk
        from ckan import model
        commits = []
        counts = []

        @task
        def work(dataset, times):
            counts.append(len(commits))
            for number in range(3):
                patch = {"id": dataset, "title": f"title {times} {number}"}
                tk.get_action("package_patch")({"ignore_auth": True}, patch)
                model.Session.commit()
            counts.append(len(commits))
            if times:
                return work(dataset, times - 1)
    """)
    module.work.delay(factories.Dataset()["id"], 4)
    with count_commits() as module.commits:
        tasks.run_pending_jobs()
    # after a step its own, and that by which the next one is claimed
    assert [after - before for before, after in pairwise(module.counts)] == [0, 2] * 4 + [0]


def test_a_commit_at_the_end_costs_no_savepoint(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    module = define("""
        from ckan import model
        from ckanext.files.tests.support import sample

        @task
        def work(name, more):
            sample.effect(name)
            model.Session.commit()
            if more:
                sample.effect(f"{name}-more")
                model.Session.rollback()
    """)
    name = unique("job")
    for more, expected in ((False, 0), (True, 1)):
        module.work.delay(f"{name}-{more}", more)
        model.Session.commit()
        with statements() as seen:
            tasks.run_pending_jobs()
        assert sum(statement.startswith("SAVEPOINT") for statement in seen) == expected
        assert effects.exists(f"{name}-{more}")
    assert not effects.exists(f"{name}-True-more")


def test_failing_step_leaves_nothing(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Neither in the database nor in Solr, whatever was committed within it."""
    module = define("""
        import ckan.plugins.toolkit as tk
        from ckan import model
        from ckanext.files.tests.support import sample

        @task
        def work(name, dataset):
            sample.effect(name)
            model.Session.commit()
            patch = {"id": dataset, "title": "after"}
            tk.get_action("package_patch")({"ignore_auth": True}, patch)
            sample.write.delay(f"{name}-job")
            model.Session.commit()
            raise ValueError("it is wrong")
    """)
    name, dataset = unique("job"), factories.Dataset(title="before")
    module.work.delay(name, dataset["id"])
    tasks.run_pending_jobs()
    assert [job["status"] for job in tasks.jobs.values()] == ["failed"]
    assert not effects.exists(name)
    assert look("SELECT title FROM package WHERE id = :id", id=dataset["id"]) == "before"
    assert title_in_solr(dataset["id"]) == "before"


def test_session_is_usable_after_an_error_of_the_database(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    module = define("""
        import sqlalchemy as sa
        from ckan import model

        @task
        def work():
            model.Session.execute(sa.text("SELECT 1 / 0"))
    """)
    name = unique("job")
    job = module.work.delay()
    sample.write.delay(name)
    tasks.run_pending_jobs()
    assert "division by zero" in (shown(job).error or "")
    assert effects.exists(name)


def test_commit_that_fails(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """It is the step's failure: PostgreSQL finds some things out at the commit only."""
    name = unique("job")
    jobs = [sample.write.delay(name) for _ in range(2)]
    tasks.run_pending_jobs()
    assert [shown(job).status for job in jobs] == ["succeeded", "failed"]
    assert "UniqueViolation" in (shown(jobs[1]).error or "")
    assert tasks.pending_jobs == []


def test_jobs_of_a_step_come_with_its_commit(
    define: Define, tasks: TasksManager, unique: Any
) -> None:
    module = define("""
        from ckanext.files.tests.support import sample

        @task
        def work(fails):
            sample.noop.delay()
            sample.noop.configure(countdown=3600).delay()
            if fails:
                raise ValueError("it fails")
    """)
    module.work.delay(fails=True)
    tasks.run_pending_jobs()
    assert len(tasks.jobs) == 1
    module.work.delay(fails=False)
    tasks.run_pending_jobs()
    assert (len(tasks.jobs), len(tasks.succeeded_jobs), len(tasks.pending_jobs)) == (4, 2, 1)


# going on


def test_resume_at_the_last_finished_step(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Each effect is there once: PostgreSQL refuses a second one at the commit."""
    module = define("""
        from ckan import model
        from ckanext.files.tests.support.sample import effect
        broken = {2, 0}
        ran = []

        @task
        def work(name, times):
            ran.append(times)
            effect(f"{name}-{times}")
            model.Session.commit()
            if times in broken:
                raise ValueError(f"broken at {times}")
            if times:
                return work(name, times - 1)
    """)
    name = unique("job")
    job = module.work.delay(name, 4)
    for at in (2, 0):
        tasks.run_pending_jobs()
        assert (shown(job).status, shown(job).step) == ("failed", 4 - at)
        assert shown(job).error == f"ValueError: broken at {at}"
        count = f"SELECT {EFFECTS}"
        assert look(count, names=f"{name}-%") == 4 - at
        module.broken.remove(at)
        assert control.retry(job.id)
    tasks.run_pending_jobs()
    assert module.ran == [4, 3, 2, 2, 1, 0, 0]
    assert (shown(job).status, shown(job).step) == ("succeeded", 5)
    assert shown(job).error is None
    assert all(effects.exists(f"{name}-{number}") for number in range(5))


def test_jobs_run_interleaved(define: Define, tasks: TasksManager) -> None:
    """A long job lets others through after each step."""
    module = define("""
        ran = []

        @task
        def work(name, times):
            ran.append(f"{name}{times}")
            if times:
                return work(name, times - 1)
    """)
    for name, times in (("a", 3), ("b", 2), ("c", 0)):
        module.work.delay(name, times)
    tasks.run_pending_jobs()
    assert module.ran == ["a3", "b2", "c0", "a2", "b1", "a1", "b0", "a0"]


def test_another_task_goes_on(define: Define, tasks: TasksManager) -> None:
    """Also a task of another queue: options such as that are the job's, not the step's."""
    module = define("""
        ran = []

        @task(queue="one", pass_context=True)
        def first(context, name):
            ran.append(("first", name, context.step, context.queue))
            return second(name=name)

        @task(queue="two")
        async def second(*, name):
            ran.append(("second", name, current_job().step, current_job().queue))
            return None
    """)
    job = module.first.delay("ü")
    tasks.run_pending_jobs()
    assert module.ran == [("first", "ü", 0, "one"), ("second", "ü", 1, "one")]
    assert shown(job).status == "succeeded"


def test_a_call_of_a_task_that_is_not_there(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """It is found out at once, and the step leaves nothing."""
    module = define("""
        from ckanext.files.background.call import Call
        from ckanext.files.tests.support.sample import effect

        @task
        def work(name):
            effect(name)
            return Call("files.test.nowhere", {})
    """)
    name = unique("job")
    job = module.work.delay(name)
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert "There is no task files.test.nowhere" in (shown(job).error or "")
    assert not effects.exists(name)


@pytest.mark.parametrize("result", ["None", "5", "'finished'", "{'a': 1}", "object()", "[]"])
def test_any_other_result_ends_the_job(result: str, define: Define, tasks: TasksManager) -> None:
    module = define(f"""
        @task
        def work():
            return {result}
    """)
    module.work.delay()
    tasks.run_pending_jobs()
    assert len(tasks.succeeded_jobs) == 1


# what a step knows


def test_context(define: Define, tasks: TasksManager) -> None:
    module = define("""
        import dataclasses
        seen = []

        @task(pass_context=True)
        def work(context, times):
            assert context is current_job()
            seen.append(dataclasses.replace(context))
            if times:
                return work(times - 1)
    """)
    task = module.work.configure(queue="q", lock="a lock", priority=3)
    job = task.delay(1)
    tasks.run_pending_jobs()
    first, second = module.seen
    assert (first.id, second.id) == (job.id, job.id)
    assert (first.step, second.step) == (0, 1)
    assert (first.call.args, second.call.args) == ({"times": 1}, {"times": 0})
    for context in module.seen:
        assert (context.queue, context.lock, context.priority) == ("q", "a lock", 3)
        assert (context.attempts, context.retries, context.user_id, context.task_id) == (
            0,
            0,
            None,
            None,
        )
        assert not context.should_abort()
    assert current_job() is None


# what is kept of a failure


def test_error_and_traceback(define: Define, tasks: TasksManager) -> None:
    module = define("""
        class Wrong(Exception):
            pass

        def inner(name):
            raise KeyError(name)

        @task
        def work(name):
            try:
                inner(name)
            except KeyError as error:
                raise Wrong(f"{name} is wrong") from error
    """)
    job = module.work.delay("ü%s\n")
    tasks.run_pending_jobs()
    found = shown(job)
    assert found.error == "files_test_tasks.Wrong: ü%s\n is wrong"
    assert found.traceback
    assert found.traceback.startswith("Traceback (most recent call last):")
    for part in ("in inner", "KeyError: 'ü%s\\n'", "direct cause", "in work", found.error):
        assert part in found.traceback
    assert tasks.failed_jobs[0]["attempts"] == 1
    assert isinstance(found.finished, dt.datetime)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 1_000_000, ""])
def test_error_that_postgresql_cannot_hold(text: str, define: Define, tasks: TasksManager) -> None:
    module = define("""
        text = ""

        @task
        def work():
            raise ValueError(text)
    """)
    module.text = text
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert (shown(job).error or "").startswith("ValueError")
    assert shown(job).status == "failed"


def test_error_that_cannot_be_told(define: Define, tasks: TasksManager) -> None:
    module = define("""
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        @task
        def work():
            raise Mute
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert "Mute" in (shown(job).error or "")


@pytest.mark.parametrize("reason", ["cancelled", ""])
def test_task_that_ends_its_job(reason: str, define: Define, tasks: TasksManager) -> None:
    module = define(f"""
        @task(retry=True)
        def work():
            raise JobAborted({reason!r})
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert shown(job).status == "aborted"
    assert reason in (shown(job).error or "")


# calls


def test_run_once(define: Define) -> None:
    """One run of a function, here and now: its result, which may be a call."""
    module = define("""
        @task
        def wait(times):
            return wait(times - 1) if times else "finished"

        @task
        async def later(value):
            return value

        @task
        def fail():
            raise ValueError("it fails")
    """)
    call = module.wait(1).run_once()
    assert call == module.wait(0)
    assert call.run_once() == "finished"
    assert module.later(5).run_once() == 5
    with pytest.raises(ValueError, match="it fails"):
        module.fail().run_once()
    with pytest.raises(UnknownTaskError):
        Call("files.test.nowhere", {}).run_once()

    async def within_a_loop() -> Any:
        return module.wait(0).run_once(), await module.later(6).run_once()

    assert asyncio.run(within_a_loop()) == ("finished", 6)


def test_run_once_within_async_tasks(define: Define, tasks: TasksManager) -> None:
    module = define("""
        got = []

        @task
        async def inner(value):
            return value + 1

        @task
        def plain(value):
            return value + 1

        @task
        async def outer():
            got.append(await inner(1).run_once())
            got.append(plain(1).run_once())
    """)
    module.outer.delay()
    tasks.run_pending_jobs()
    assert module.got == [2, 2]


def test_calls_are_arguments(define: Define, tasks: TasksManager) -> None:
    """They arrive as JSON, and are made calls again."""
    module = define("""
        import json
        ran = []

        @task
        def hello(name, *more):
            ran.append((name, more))
            return len(ran)

        @task
        def call_all(calls, again):
            json.dumps([calls, again])
            for call in map(deserialize_task, [*calls, *again.values()]):
                ran.append(call.run_once())
    """)
    calls = [module.hello("a"), module.hello("b", 1, 2)]
    module.call_all.delay(calls, {"key": module.hello(name="ü")})
    tasks.run_pending_jobs()
    assert module.ran == [("a", ()), 1, ("b", (1, 2)), 3, ("ü", ()), 5]


def test_deserialize_task() -> None:
    call = sample.write("ü")
    assert deserialize_task(call) is call
    assert deserialize_task(call.as_json()) == call
    assert deserialize_task(sample.anything(call).args["*"][0]) == call


@pytest.mark.parametrize(
    "value",
    [
        None,
        "ckanext.files.tests.support.sample.write",
        5,
        [],
        {},
        {"__call__": "name"},
        {"__call__": 5, "args": {}},
        {"__call__": "name", "args": []},
        {"__call__": "name", "args": {}, "more": 1},
        {"task": "name", "args": {}},
        sample.write,
    ],
)
def test_what_is_no_call(value: Any) -> None:
    with pytest.raises(ArgumentError, match="no call of a task: "):
        deserialize_task(value)
