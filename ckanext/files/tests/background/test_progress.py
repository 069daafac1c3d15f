"""The progress of a job, from a task's ``percent`` and from ``set_progress``."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.background import Job, NotInJobError, chain, set_progress
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.job_rows import Define, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

SHOWING = """
    from ckanext.files.background import record
    shown = []

    def show():
        job = record.find(current_job().id)
        shown.append((job.percent, job.text))
"""


def progress(job: Job) -> tuple[float | None, str | None]:
    found = shown(job)
    return found.percent, found.text


def test_percent(define: Define, tasks: TasksManager) -> None:
    """It is called with the task's arguments, before each step but the first."""
    module = define(
        SHOWING
        + """
    @task(percent=lambda total, remaining: 100 * (total - remaining) / total)
    def wait(total, remaining):
        show()
        if remaining:
            return wait(total, remaining - 1)
        """
    )
    job = module.wait.delay(4, remaining=4)
    tasks.run_pending_jobs()
    assert module.shown == [(None, None), (25, None), (50, None), (75, None), (100, None)]
    assert progress(job) == (100, None)


@pytest.mark.parametrize(
    ("parameters", "percent", "call"),
    [
        ("done, total", "lambda done, total: 100 * done / total", "work(1, total=4)"),
        ("done, /, total=4", "lambda done, /, total=4: 100 * done / total", "work(1)"),
        ("*numbers", "lambda *numbers: 100 * numbers[0] / numbers[1]", "work(1, 4)"),
        (
            "**named",
            "lambda **named: 100 * named['done'] / named['total']",
            "work(done=1, total=4)",
        ),
        (
            "done, total, more=0",
            "lambda done, total, **_: 100 * done / total",
            "work(1, 4, more=1)",
        ),
    ],
)
def test_percent_gets_the_arguments(
    parameters: str, percent: str, call: str, define: Define, tasks: TasksManager
) -> None:
    """Not the context, which the function gets."""
    module = define(
        SHOWING
        + f"""
    @task(percent={percent}, pass_context=True)
    def work(context, {parameters}):
        show()

    @task
    def start():
        return {call}
        """
    )
    job = module.start.delay()
    tasks.run_pending_jobs()
    assert module.shown == [(25, None)]
    assert progress(job) == (100, None)


@pytest.mark.parametrize(
    "percent", ["1 / 0", "101", "-1", "float('nan')", "'much'", "None", "object()"]
)
def test_percent_that_is_broken(percent: str, define: Define, tasks: TasksManager) -> None:
    """A job does not fail because of its progress."""
    module = define(
        SHOWING
        + f"""
    @task(percent=lambda remaining: {percent} if remaining == 1 else 50)
    def work(remaining):
        show()
        if remaining:
            return work(remaining - 1)
        """
    )
    job = module.work.delay(2)
    tasks.run_pending_jobs()
    assert module.shown == [(None, None), (None, None), (50, None)]
    assert (shown(job).status, progress(job)) == ("succeeded", (100, None))


def test_percent_that_wants_other_arguments(define: Define, tasks: TasksManager) -> None:
    module = define("""
        @task(percent=lambda total: total)
        def work(remaining):
            if remaining:
                return work(remaining - 1)
    """)
    job = module.work.delay(2)
    tasks.run_pending_jobs()
    assert (shown(job).status, progress(job)) == ("succeeded", (None, None))


def test_set_progress(define: Define, tasks: TasksManager) -> None:
    """The commit of the step writes it; a text stays until there is another one."""
    module = define(
        SHOWING
        + """
    def said(*progress):
        show()
        set_progress(*progress)

    @task
    def work(number=0):
        if number == 0:
            said(10, "ü 1 of 3 files")
        elif number == 1:
            said(50.5)
        elif number == 2:
            said(60, "")
        else:
            show()
            return
        return work(number + 1)
        """
    )
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert module.shown == [
        (None, None),
        (10, "ü 1 of 3 files"),
        (50.5, "ü 1 of 3 files"),
        (60, ""),
    ]
    assert progress(job) == (100, "")


def test_last_word_of_a_step_counts(define: Define, tasks: TasksManager) -> None:
    module = define("""
        @task
        def work():
            set_progress(10, "first")
            set_progress(90, "second")
            set_progress(20)
            return rest()

        @task
        def rest():
            raise JobAborted("stop")
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert progress(job) == (20, "second")


def test_percent_of_the_next_step_counts_more(define: Define, tasks: TasksManager) -> None:
    module = define(
        SHOWING
        + """
    @task(percent=lambda remaining: 100 - remaining)
    def work(remaining):
        show()
        set_progress(5, f"{remaining} remain")
        if remaining:
            return work(remaining - 40)
        """
    )
    job = module.work.delay(80)
    tasks.run_pending_jobs()
    assert module.shown == [(None, None), (60, "80 remain"), (100, "40 remain")]
    assert progress(job) == (100, "0 remain")


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf"), "much", None, [1]])
def test_no_percentage(percent: Any, define: Define, tasks: TasksManager) -> None:
    module = define("""
        wrong = None

        @task
        def work():
            set_progress(30, "before")
            set_progress(wrong)
    """)
    module.wrong = percent
    job = module.work.delay()
    tasks.run_pending_jobs()
    found = shown(job)
    assert found.status == "failed"
    assert (found.error or "").startswith(("ValueError", "TypeError"))
    assert (found.percent, found.text) == (30, "before")


@pytest.mark.parametrize("percent", [0, 100, 33, True])
def test_bounds(percent: Any, define: Define, tasks: TasksManager) -> None:
    module = define("""
        percent = None

        @task
        def work():
            set_progress(percent)
            raise ValueError("stop")
    """)
    module.percent = percent
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert progress(job) == (percent, None)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 100_000])
def test_text_that_postgresql_cannot_hold(text: str, define: Define, tasks: TasksManager) -> None:
    """A job does not fail because of its progress."""
    module = define("""
        text = ""

        @task
        def work(times):
            set_progress(30, text)
            if times:
                return work(times - 1)
    """)
    module.text = text
    job = module.work.delay(1)
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    assert len(progress(job)[1] or "") == len(text)


@pytest.mark.parametrize("text", [5, ["a"], object()])
def test_text_that_is_none(text: Any, define: Define, tasks: TasksManager) -> None:
    module = define("""
        text = ""

        @task
        def work():
            set_progress(30, text)
    """)
    module.text = text
    job = module.work.delay()
    tasks.run_pending_jobs()
    found = shown(job)
    assert (found.status, found.percent, found.text) == ("failed", None, None)
    assert "is no string" in (found.error or "")


def test_failure_keeps_the_progress(define: Define, tasks: TasksManager) -> None:
    """Also the progress that the failing step has set."""
    module = define("""
        @task
        def work(times):
            set_progress(10 if times else 45, f"{times} remain")
            if times:
                return work(times - 1)
            raise ValueError("it fails")
    """)
    job = module.work.delay(1)
    tasks.run_pending_jobs()
    assert (shown(job).status, progress(job)) == ("failed", (45, "0 remain"))


def test_nothing_told_is_nothing_known(tasks: TasksManager) -> None:
    job = sample.noop.delay()
    tasks.run_pending_jobs()
    assert (shown(job).status, progress(job)) == ("succeeded", (None, None))


def test_outside_of_a_job() -> None:
    with pytest.raises(NotInJobError):
        set_progress(50)


def test_in_async_tasks(define: Define, tasks: TasksManager) -> None:
    module = define("""
        import asyncio

        async def inner():
            await asyncio.sleep(0)
            set_progress(70, "inner")

        @task
        async def work():
            await asyncio.gather(inner(), asyncio.create_task(inner()))
            raise ValueError("stop")
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert progress(job) == (70, "inner")


# in a chain


@pytest.mark.parametrize(
    ("nested", "expected"),
    [(False, [50, 75, 100]), (True, [50, 62.5, 75])],
    ids=["plain", "nested"],
)
def test_progress_of_a_part_of_a_chain(
    nested: bool, expected: list[float], tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    name = unique("job")
    noting = sample.note_progress(name, [0, 50, 100])
    job = chain.delay([sample.noop(), chain([noting, sample.noop()]) if nested else noting])
    tasks.run_pending_jobs()
    for percent in expected:
        assert effects.exists(f"{name}-{percent:g}")
    assert (shown(job).status, shown(job).percent) == ("succeeded", 100)


def test_part_of_a_chain_that_goes_on(
    define: Define, tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Its progress lasts, also where a later step sets none; then its part is done."""
    module = define("""
        @task
        def count(left):
            if left > 1:
                set_progress(100 - 25 * left)
            return count(left - 1) if left else None
    """)
    job = chain.delay([chain([module.count(3)]), sample.noop()])
    percents: list[float | None] = []
    while tasks.run_pending_jobs(most=1).steps:
        percents.append(shown(job).percent)
    assert percents == [12.5, 25, 25, 50, 100]
    assert "is not known" not in caplog.text


def test_outside_of_a_chain(tasks: TasksManager, effects: Effects, unique: Any) -> None:
    name = unique("job")
    sample.note_progress.delay(name, [12.5])
    tasks.run_pending_jobs()
    assert effects.exists(f"{name}-12.5")
