"""Jobs that are older than the source of their tasks: one test for each rule of text D.

A job that no longer fits fails with an error about it, and the next job runs.
"""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.background import Job, chain, control, send_task
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.job_rows import Define, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

BEFORE = """
    ran = []

    @task
    def work(a, b=2):
        ran.append((a, b))
"""


def run_with_another(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    """Run all jobs that wait, and one more, which must succeed."""
    name = unique("job")
    sample.write.delay(name)
    tasks.run_pending_jobs()
    assert effects.exists(name)
    assert tasks.pending_jobs == []


def failed(job: Job, *parts: str) -> None:
    """The job has failed, with these parts in its error and traceback."""
    found = shown(job)
    assert found.status == "failed"
    for part in parts:
        assert part in (found.error or "")
        assert part in (found.traceback or "")


# 1. a task is kept with all its parameters


def test_parameters_are_those_of_the_day_it_was_asked_for(
    define: Define, tasks: TasksManager
) -> None:
    module = define("""
        now = "asked"

        @task
        def work(*values, **named): ...
    """)
    asked = {"when": module.now, "deep": [{"a": 1}]}
    module.work.delay("x", **asked)
    module.now = "run"
    asked["when"] = "changed"
    module = define("""
        ran = []

        @task
        def work(*values, **named):
            ran.append((values, named))
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(("x",), {"when": "asked", "deep": [{"a": 1}]})]


# 2. a task may be called with arguments of old


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("work(a)", "files_test_tasks.work(a) cannot be called so: got an unexpected keyword"),
        ("work()", "files_test_tasks.work() cannot be called so"),
        ("work(a, c=2)", "unexpected keyword argument 'b'"),
        ("work(a, b, c)", "missing a required argument: 'c'"),
    ],
)
def test_arguments_that_fit_no_more(
    after: str, reason: str, define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    job = define(BEFORE).work.delay(1, 3)
    module = define(f"""
        ran = []

        @task
        def {after}:
            ran.append("it must not")
    """)
    run_with_another(tasks, effects, unique)
    failed(job, "ArgumentError", reason)
    assert module.ran == []


def test_arguments_of_the_next_step_that_fit_no_more(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """What the job has done stays, and it goes on when the task takes them again."""
    name = unique("job")
    stopping = """
        from ckanext.files.tests.support.sample import effect

        @task
        def work(name, times):
            effect(f"{{name}}-{{times}}")
            if times:
                return {following}(name, times - 1)

        @task
        def rest({parameters}):
            effect(f"{{name}}-rest")
    """
    module = define(stopping.format(following="rest", parameters="name, times"))
    job = module.work.delay(name, 1)
    tasks.run_pending_jobs(most=1)
    module = define(stopping.format(following="rest", parameters="name"))
    run_with_another(tasks, effects, unique)
    failed(job, "files_test_tasks.rest(name)", "'times'")
    assert (shown(job).step, effects.exists(f"{name}-1")) == (1, True)
    define(stopping.format(following="rest", parameters="name, times=0"))
    assert control.retry(job.id)
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    assert effects.exists(f"{name}-rest")


def test_a_parameter_that_takes_all(define: Define, tasks: TasksManager) -> None:
    """How a task is prepared for what it does not know any more."""
    define(BEFORE).work.delay(1, b=3)
    module = define("""
        ran = []

        @task
        def work(a, **old):
            ran.append((a, old))
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(1, {"b": 3})]


# 3. source that was deleted


def test_deleted_task(define: Define, tasks: TasksManager, effects: Effects, unique: Any) -> None:
    jobs = [define(BEFORE).work.delay(1) for _ in range(2)]
    define("@task\ndef walk(a, b): ...")
    run_with_another(tasks, effects, unique)
    for job in jobs:
        failed(job, "UnknownTaskError", "There is no task files_test_tasks.work: its source was")
        failed(job, "Did you mean files_test_tasks.walk?")


def test_task_that_is_a_task_no_more(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    job = define(BEFORE).work.delay(1)
    module = define("""
        ran = []

        def work(a, b=2):
            ran.append(a)
    """)
    run_with_another(tasks, effects, unique)
    failed(job, "There is no task files_test_tasks.work")
    assert module.ran == []


def test_task_that_is_deleted_between_two_steps(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Also one that only stands among the arguments of a chain."""
    source = """
        @task
        def first():
            return second()

        @task
        def second(): ...
    """
    module = define(source)
    jobs = [module.first.delay(), chain.delay([sample.noop(), module.second()])]
    tasks.run_pending_jobs(most=1)
    tasks.run_pending_jobs(most=1)
    define("")
    run_with_another(tasks, effects, unique)
    for job in jobs:
        failed(job, "There is no task files_test_tasks.second")
        assert shown(job).step == 1


def test_task_of_a_job_that_nobody_ever_had(
    tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    job = send_task("files.test.nowhere", [1])
    run_with_another(tasks, effects, unique)
    failed(job, "There is no task files.test.nowhere")


def test_task_that_comes_back(define: Define, tasks: TasksManager) -> None:
    job = define(BEFORE).work.delay(1)
    define("")
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    module = define(BEFORE)
    assert control.retry(job.id)
    tasks.run_pending_jobs()
    assert module.ran == [(1, 2)]
    assert shown(job).status == "succeeded"


# 4. optional parameters at the end


def test_optional_parameter_that_was_added(define: Define, tasks: TasksManager) -> None:
    old = define(BEFORE).work
    jobs = [old.delay(1), old.delay(1, 3), old.delay(b=4, a=1)]
    module = define("""
        ran = []

        @task
        def work(a, b=2, c=5, *more, d=6):
            ran.append((a, b, c, more, d))
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(1, b, 5, (), 6) for b in (2, 3, 4)]
    assert {shown(job).status for job in jobs} == {"succeeded"}


def test_parameters_in_another_order(define: Define, tasks: TasksManager) -> None:
    """Arguments are kept by name: it is safer than the rule."""
    define(BEFORE).work.delay(1, 3)
    module = define("""
        ran = []

        @task
        def work(new=0, b=2, a=9):
            ran.append((new, a, b))
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(0, 1, 3)]


# 5. a job may end between two calls


@pytest.mark.parametrize("how", ["cancelled", "failing"])
def test_end_between_two_calls(
    how: str, define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """No call is half done: the last one has all its effects, the next one has none."""
    module = define("""
        from ckan import model
        from ckanext.files.background import control
        from ckanext.files.tests.support.sample import effect

        @task
        def work(name, times, how):
            effect(f"{name}-{times}-begun")
            model.Session.commit()
            if times == 1 and how == "cancelled":
                control.cancel(current_job().id)
            if times == 0 and how == "failing":
                raise ValueError("something goes wrong")
            effect(f"{name}-{times}-done")
            if times:
                return work(name, times - 1, how)
    """)
    name = unique("job")
    job = module.work.delay(name, 2, how)
    run_with_another(tasks, effects, unique)
    assert shown(job).status == {"cancelled": "aborted", "failing": "failed"}[how]
    assert shown(job).step == 2
    done = [effects.exists(f"{name}-{times}-done") for times in (2, 1, 0)]
    begun = [effects.exists(f"{name}-{times}-begun") for times in (2, 1, 0)]
    assert begun == done == [True, True, False]


# 6. what matters must not wait for later calls


def test_earlier_calls_stay_when_a_later_one_fails(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Each call commits: what must be true together belongs into one."""
    name = unique("job")
    apart = chain.delay([sample.write(f"{name}-1"), sample.fail_after(f"{name}-2")])
    module = define("""
        @task
        def together(calls):
            for call in map(deserialize_task, calls):
                call.run_once()
    """)
    both = module.together.delay([sample.write(f"{name}-3"), sample.fail_after(f"{name}-4")])
    tasks.run_pending_jobs()
    assert shown(apart).status == shown(both).status == "failed"
    assert [effects.exists(f"{name}-{number}") for number in (1, 2, 3, 4)] == [True] + [False] * 3


# 7. parameters have to be checked


def test_task_that_checks_its_parameters(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Annotations are not checked for it; what it refuses is the error of the job."""
    module = define("""
        ran = []

        @task
        def work(number: int) -> None:
            ran.append(number)
            if not isinstance(number, int):
                raise TypeError(f"number is an int, not {number!r}")
    """)
    job = module.work.delay("1")
    module.work.delay(1)
    run_with_another(tasks, effects, unique)
    failed(job, "TypeError: number is an int, not '1'")
    assert module.ran == ["1", 1]


# 8. another implementation


def test_another_implementation(define: Define, tasks: TasksManager) -> None:
    """Also between two steps of a job."""
    source = """
        ran = []

        @task
        def work(times):
            ran.append({})
            if times:
                return work(times - 1)
    """
    job = define(source.format("('old', times)")).work.delay(2)
    tasks.run_pending_jobs(most=1)
    module = define(source.format("('new', times)"))
    tasks.run_pending_jobs()
    assert module.ran == [("new", 1), ("new", 0)]
    assert (shown(job).status, shown(job).step) == ("succeeded", 3)


def test_other_options(define: Define, tasks: TasksManager) -> None:
    """The job keeps its own options; each step runs with the new options of the task."""
    job = define('@task(queue="old")\ndef work(): ...').work.delay()
    define("""
        @task(queue="new", retry=2)
        def work():
            raise ValueError("it fails")
    """)
    tasks.run_pending_jobs()
    assert (shown(job).queue, shown(job).attempts) == ("old", 3)


def test_sync_that_becomes_async(define: Define, tasks: TasksManager) -> None:
    define(BEFORE).work.delay(1)
    module = define(BEFORE.replace("def work", "async def work"))
    tasks.run_pending_jobs()
    assert module.ran == [(1, 2)]


# a task that is renamed


RENAMED = """
    ran = []

    @task(name="files.test.new", aliases=["files_test_tasks.work"])
    def moved(a, b=2):
        ran.append((a, b))
        if a:
            return moved(a - 1, b)
"""


def test_renamed_task(define: Define, tasks: TasksManager) -> None:
    """Its old jobs run, also calls among the arguments of other jobs, and jobs of old callers."""
    old = define(BEFORE).work
    jobs = [old.delay(0), chain.delay([old(0, 3), old(0, 4)])]
    module = define(RENAMED)
    jobs.append(send_task("files_test_tasks.work", [0, 5]))
    tasks.run_pending_jobs()
    assert sorted(module.ran) == [(0, 2), (0, 3), (0, 4), (0, 5)]
    assert {shown(job).status for job in jobs} == {"succeeded"}


def test_task_that_is_renamed_between_two_steps(define: Define, tasks: TasksManager) -> None:
    job = define("""
        @task
        def work(a, b=2):
            return work(a - 1, b)
    """).work.delay(3)
    tasks.run_pending_jobs(most=1)
    module = define(RENAMED)
    tasks.run_pending_jobs()
    assert module.ran == [(2, 2), (1, 2), (0, 2)]
    assert (shown(job).status, shown(job).step) == ("succeeded", 4)


def test_renamed_task_is_tried_again(define: Define, tasks: TasksManager) -> None:
    """By its old name in the job, and its new one in the source."""
    define(BEFORE).work.delay(1)
    module = define("""
        ran = []

        @task(name="files.test.new", aliases=["files_test_tasks.work"])
        def moved(a, b=2):
            ran.append((a, b))
            if not current_job().retries:
                moved.retry(args=[5], countdown=0)
    """)
    tasks.run_pending_jobs()
    assert module.ran == [(1, 2), (5, 2)]
