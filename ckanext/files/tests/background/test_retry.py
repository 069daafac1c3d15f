"""Steps that are tried again: when, how often, with which arguments, and their errors."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ckanext.files.background import (
    AlreadyEnqueuedError,
    ArgumentError,
    BackgroundError,
    MaxRetriesExceededError,
    NotInJobError,
    chain,
    control,
    record,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.job_rows import Define, let_time_pass, seconds_to_wait, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

THIRTY_DAYS = 30 * 24 * 3600.0

WEST = dt.timezone(dt.timedelta(hours=-12))

ECHO = """
    ran = []
    broken = True

    @task(name="NAME.echofunction")
    def echo(message):
        ran.append(message)
        try:
            if broken:
                raise OSError("the network is down")
        except Exception as e:
            # Retry again in 2 minutes
            echo.retry(args=("x"), exc=e, countdown=120, max_retries=10)
"""

RETRYING = """
    how = {{}}
    until = 1000
    ran = []

    {decorator}
    {kind} work(name, *more, **named):
        retries = current_job().retries
        ran.append([name, *more, retries])
        if retries < until:
            work.retry(**how)
"""


def retrying(define: Define, decorator: str = "@task", kind: str = "def", **how: Any) -> Any:
    """A task that calls ``retry`` with these arguments, ``until`` times."""
    module = define(RETRYING.format(decorator=decorator, kind=kind))
    module.how = how
    return module


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=20)


def run_all(tasks: TasksManager) -> int:
    """Run jobs until none waits, also jobs that are put off; return the number of steps."""
    steps = 0
    while tasks.pending_jobs:
        let_time_pass()
        steps += tasks.run_pending_jobs().steps
        assert steps < 100
    return steps


# with Celery's arguments, as in text B of docs/testing/promises.rst


def test_as_in_text_b(define: Define, tasks: TasksManager) -> None:
    """``args=("x")`` is a plain string: it is one argument."""
    module = define(ECHO)
    job = module.echo.delay("Hello World")
    tasks.run_pending_jobs()
    row = tasks.jobs[job.id]
    assert (row["status"], row["attempts"]) == ("todo", 1)
    assert seconds_to_wait(job) == about(120)
    assert shown(job).error == "OSError: the network is down"
    assert "echo.retry" in (shown(job).traceback or "")
    assert [event.type for event in record.history(job.id)][-1] == "deferred_for_retry"
    # it is put off: nothing runs before its time
    assert tasks.run_pending_jobs().steps == 0
    let_time_pass()
    module.broken = False
    tasks.run_pending_jobs()
    assert module.ran == ["Hello World", "x"]
    assert (shown(job).status, shown(job).error, shown(job).traceback) == ("succeeded", None, None)
    # what was asked for can still be seen
    assert tasks.jobs[job.id]["args"] == {"message": "Hello World"}


def test_tries_that_are_used_up(define: Define, tasks: TasksManager) -> None:
    module = define(ECHO)
    job = module.echo.delay("Hello World")
    assert run_all(tasks) == 11
    assert module.ran == ["Hello World"] + ["x"] * 10
    assert (shown(job).status, shown(job).attempts) == ("failed", 11)
    assert shown(job).error == "OSError: the network is down"


# when


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ({}, 180),
        ({"countdown": 7}, 7),
        ({"countdown": 3600.5}, 3600.5),
        ({"countdown": 10**12}, THIRTY_DAYS),
        ({"countdown": 10.0**300}, THIRTY_DAYS),
        ({"countdown": float("inf")}, THIRTY_DAYS),
        ({"countdown": THIRTY_DAYS + 1}, THIRTY_DAYS),
        ({"eta": dt.datetime.max}, THIRTY_DAYS),
        ({"eta": dt.datetime.max.replace(tzinfo=WEST)}, THIRTY_DAYS),
    ],
)
def test_wait(how: Any, seconds: float, define: Define, tasks: TasksManager) -> None:
    """Three minutes by default; a time that no table can hold becomes the longest wait."""
    job = retrying(define, **how).work.delay("a")
    tasks.run_pending_jobs()
    assert shown(job).status == "todo"
    assert seconds_to_wait(job) == about(seconds)


@pytest.mark.parametrize(
    "how", [{"countdown": 0}, {"eta": dt.datetime.min}, {"eta": dt.datetime(1970, 1, 1)}]
)
def test_at_once(how: Any, define: Define, tasks: TasksManager) -> None:
    module = retrying(define, **how)
    module.until = 1
    job = module.work.delay("a")
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    assert module.ran == [["a", 0], ["a", 1]]


@pytest.mark.parametrize("zone", [WEST, None])
def test_eta(zone: Any, define: Define, tasks: TasksManager) -> None:
    """Without a time zone it is in UTC, as in CKAN's tables."""
    eta = dt.datetime(2040, 1, 2, 9, 0, tzinfo=zone)
    job = retrying(define, eta=eta).work.delay("a")
    tasks.run_pending_jobs()
    assert shown(job).scheduled_at == eta.replace(tzinfo=zone or dt.timezone.utc)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"eta": dt.datetime.now(dt.timezone.utc), "countdown": 1}, "eta or countdown, not both"),
        ({"countdown": "soon"}, "countdown 'soon' is no number"),
        ({"args": [1, 2], "kwargs": {"name": 1}}, "multiple values for argument 'name'"),
        ({"kwargs": {"other": 1}}, "missing a required argument: 'name'"),
        ({"args": [{1}]}, "argument 'name' of task files_test_tasks.work is of type set"),
    ],
)
def test_retry_that_cannot_be(how: Any, reason: str, define: Define, tasks: TasksManager) -> None:
    """The job fails, with the reason as its error."""
    job = retrying(define, **how).work.delay("a")
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert reason in (shown(job).error or "")


# how often


def test_three_times_unless_told_otherwise(define: Define, tasks: TasksManager) -> None:
    module = retrying(define)
    job = module.work.delay("a")
    assert run_all(tasks) == 4
    assert [retries for _, retries in module.ran] == [0, 1, 2, 3]
    assert shown(job).status == "failed"
    assert (shown(job).error or "").startswith(MaxRetriesExceededError.__module__)
    assert "MaxRetriesExceededError: files_test_tasks.work(name='a') was tried again 3 times" in (
        shown(job).error or ""
    )


@pytest.mark.parametrize("most", [0, 1, 5])
def test_max_retries(most: int, define: Define, tasks: TasksManager) -> None:
    job = retrying(define, max_retries=most).work.delay("a")
    assert run_all(tasks) == most + 1
    assert (shown(job).status, shown(job).attempts) == ("failed", most + 1)


def test_for_ever(define: Define, tasks: TasksManager) -> None:
    module = retrying(define, max_retries=None, countdown=0)
    module.until = 30
    job = module.work.delay("a")
    assert tasks.run_pending_jobs().steps == 31
    assert shown(job).status == "succeeded"


def test_reason_is_told_in_the_end(define: Define, tasks: TasksManager) -> None:
    module = define("""
        @task
        def work():
            work.retry(exc=KeyError("a reason"), max_retries=1, countdown=0)
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).error) == ("failed", "KeyError: 'a reason'")


def test_counted_for_each_step(define: Define, tasks: TasksManager) -> None:
    """What an earlier step has used up is not missing later; attempts count all."""
    module = define("""
        ran = []

        @task
        def work(times):
            retries = current_job().retries
            ran.append((times, retries))
            if retries < 2:
                work.retry(countdown=0, max_retries=2)
            if times:
                return work(times - 1)
    """)
    job = module.work.delay(2)
    tasks.run_pending_jobs()
    assert module.ran == [(times, retries) for times in (2, 1, 0) for retries in (0, 1, 2)]
    assert (shown(job).status, shown(job).step, shown(job).attempts) == ("succeeded", 3, 7)


# what


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("how", "second"),
    [
        ({}, ["a", 1]),
        ({"args": "bc"}, ["bc", 1]),
        ({"args": ("b",)}, ["b", 1]),
        ({"args": ["b", "c"]}, ["b", "c", 1]),
        ({"kwargs": {"name": "b"}}, ["b", 1]),
        ({"args": ["b"], "kwargs": {"more": 2}}, ["b", 1]),
        ({"args": [], "kwargs": {"name": "b"}}, ["b", 1]),
    ],
)
def test_arguments(how: Any, second: Any, kind: str, define: Define, tasks: TasksManager) -> None:
    module = retrying(define, kind=kind, **how)
    module.until = 1
    job = module.work.delay("a")
    run_all(tasks)
    assert module.ran == [["a", 0], second]
    assert shown(job).status == "succeeded"


CHANGING = """
    ran = []

    @task
    def work(names):
        ran.append(list(names))
        names.pop(0)
        if names:
            work.retry(args=(names,), countdown=0)
"""


def test_arguments_that_the_step_has_changed(define: Define, tasks: TasksManager) -> None:
    """They differ then, though they are the same list."""
    module = define(CHANGING)
    job = module.work.delay(["a", "b", "c"])
    run_all(tasks)
    assert module.ran == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert shown(job).status == "succeeded"


def test_arguments_that_a_part_has_changed(define: Define, tasks: TasksManager) -> None:
    """The arguments of a part of a chain cannot be replaced: that is an error."""
    module = define(CHANGING)
    job = chain.delay([module.work(["a", "b", "c"])])
    run_all(tasks)
    assert shown(job).status == "failed"
    assert "only its own arguments can be replaced" in (shown(job).error or "")


def test_what_the_step_has_changed_is_undone(
    define: Define, tasks: TasksManager, effects: Effects, unique: Any
) -> None:
    """Also its own commits: a second effect of that name would be refused."""
    module = define("""
        from ckan import model
        from ckanext.files.tests.support.sample import effect

        @task
        def work(name, times):
            effect(f"{name}-{times}")
            model.Session.commit()
            if current_job().retries < 2:
                work.retry(countdown=0)
            if times:
                return work(name, times - 1)
    """)
    name = unique("job")
    job = module.work.delay(name, 2)
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).attempts) == ("succeeded", 7)
    assert all(effects.exists(f"{name}-{number}") for number in range(3))


def test_within_a_chain(define: Define, tasks: TasksManager) -> None:
    """The part is tried again with its arguments; other arguments would be the chain's."""
    module = retrying(define, countdown=0)
    module.until = 2
    job = chain.delay([sample.noop(), module.work("a"), sample.noop()])
    tasks.run_pending_jobs()
    assert module.ran == [["a", 0], ["a", 1], ["a", 2]]
    assert shown(job).status == "succeeded"
    module.how = {"args": ["a"]}
    job = chain.delay([module.work("a")])
    run_all(tasks)
    assert shown(job).status == "succeeded"
    module.how = {"args": ["b"]}
    job = chain.delay([module.work("a")])
    run_all(tasks)
    assert shown(job).status == "failed"
    assert "only its own arguments can be replaced" in (shown(job).error or "")


def test_of_another_task(define: Define, tasks: TasksManager) -> None:
    """The running step is tried again, not the task whose ``retry`` was called."""
    module = define("""
        ran = []

        @task
        def other(name): ...

        @task
        def work(name, how):
            ran.append(name)
            if not current_job().retries:
                other.retry(countdown=0, **how)
    """)
    module.work.delay("a", {})
    tasks.run_pending_jobs()
    assert module.ran == ["a", "a"]
    job = module.work.delay("b", {"args": ["c"]})
    tasks.run_pending_jobs()
    assert (shown(job).error or "").startswith(f"{ArgumentError.__module__}.ArgumentError")


def test_outside_of_a_job() -> None:
    with pytest.raises(NotInJobError):
        sample.noop.retry()
    with pytest.raises(KeyError, match="the reason"):
        sample.noop.retry(exc=KeyError("the reason"))


def test_swallowed(define: Define, tasks: TasksManager) -> None:
    """It is an exception: code that catches it goes on."""
    module = define("""
        @task
        def work():
            try:
                work.retry()
            except Exception as error:
                assert isinstance(error, Retry)
    """)
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"


def test_job_that_somebody_wants_to_end(define: Define, tasks: TasksManager) -> None:
    """It is not tried again."""
    module = retrying(define)
    job = module.work.delay("a")
    tasks.run_pending_jobs()
    assert control.cancel(job.id) == "cancelled"
    assert run_all(tasks) == 0
    assert module.ran == [["a", 0]]


def test_queueing_lock_is_kept_while_it_waits(define: Define, tasks: TasksManager) -> None:
    """The job waits, and of the jobs with the same queueing lock one waits at a time."""
    module = retrying(define, '@task(queueing_lock="one")')
    module.until = 2
    job = module.work.delay("a")
    for _ in range(2):
        tasks.run_pending_jobs()
        assert (shown(job).status, shown(job).queueing_lock) == ("todo", "one")
        with pytest.raises(AlreadyEnqueuedError):
            module.work.delay("b")
        let_time_pass()
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    module.work.delay("b")


@pytest.mark.parametrize("priority", [0, 5])
def test_lock_orders_no_job_while_it_waits(
    priority: int, define: Define, tasks: TasksManager
) -> None:
    """A job that is not due blocks no other, even if it comes first once it is due."""
    module = retrying(define, '@task(lock="one")')
    module.until = 1
    first = module.work.configure(priority=priority).delay("a")
    second = module.work.delay("b")
    third = module.work.delay("c")
    tasks.run_pending_jobs(most=3)
    assert module.ran == [["a", 0], ["b", 0], ["c", 0]]
    assert [shown(job).status for job in (first, second, third)] == ["todo"] * 3
    let_time_pass()
    tasks.run_pending_jobs()
    assert [name for name, _ in module.ran[3:]] == ["a", "b", "c"]


def test_lock_orders_no_job_while_it_is_put_off(define: Define, tasks: TasksManager) -> None:
    module = retrying(define, '@task(lock="one")')
    module.until = 0
    module.work.configure(countdown=3600, priority=5).delay("later")
    module.work.delay("now")
    tasks.run_pending_jobs()
    assert module.ran == [["now", 0]]
    module.work.delay("next")
    let_time_pass()
    tasks.run_pending_jobs()
    assert module.ran == [["now", 0], ["later", 0], ["next", 0]]


def test_lock_between_two_steps(define: Define, tasks: TasksManager) -> None:
    """A job that has begun keeps its lock, also while other jobs run."""
    module = define("""
        ran = []

        @task(lock="one")
        def work(name, steps=3):
            ran.append(name)
            return work(name, steps - 1) if steps > 1 else None

        @task
        def other():
            ran.append("other")
    """)
    module.work.delay("a")
    module.work.configure(priority=5).delay("b")
    tasks.run_pending_jobs(most=1)
    module.work.configure(priority=9).delay("c")
    module.other.configure(priority=5).delay()
    tasks.run_pending_jobs()
    assert [name for name in module.ran if name != "other"] == ["b"] * 3 + ["c"] * 3 + ["a"] * 3
    assert "other" in module.ran[1:4]


# by the decorator


FAILING = """
    import datetime as dt
    from procrastinate.retry import BaseRetryStrategy, RetryDecision
    ran = []
    until = 1000
    error = ValueError("it fails")

    class Moving(BaseRetryStrategy):
        def get_retry_decision(self, *, exception, job):
            if job.attempts < 2:
                return RetryDecision(retry_in={{"seconds": 0}}, queue="slow", priority=7, lock="l")

    class Broken(BaseRetryStrategy):
        def get_retry_decision(self, *, exception, job):
            raise RuntimeError("the strategy is broken")

    class Impossible(BaseRetryStrategy):
        def __init__(self, **decision):
            self.decision = decision

        def get_retry_decision(self, *, exception, job):
            return RetryDecision(**self.decision)

    @task({option})
    def work(times=0):
        ran.append((times, current_job().retries))
        if current_job().retries < until:
            raise error
        if times:
            return work(times - 1)
"""


def failing(define: Define, option: str) -> Any:
    return define(FAILING.format(option=option))


@pytest.mark.parametrize("times", [1, 3])
def test_a_number(times: int, define: Define, tasks: TasksManager) -> None:
    """The step is tried again that many times, at once; the last error is kept."""
    module = failing(define, f"retry={times}")
    job = module.work.delay()
    assert tasks.run_pending_jobs().steps == times + 1
    assert (shown(job).status, shown(job).attempts) == ("failed", times + 1)
    assert shown(job).error == "ValueError: it fails"


def test_a_number_counts_for_each_step(define: Define, tasks: TasksManager) -> None:
    module = failing(define, "retry=2")
    module.until = 2
    job = module.work.delay(1)
    tasks.run_pending_jobs()
    assert module.ran == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1), (0, 2)]
    assert shown(job).status == "succeeded"


def test_always(define: Define, tasks: TasksManager) -> None:
    module = failing(define, "retry=True")
    module.until = 20
    job = module.work.delay()
    assert tasks.run_pending_jobs().steps == 21
    assert shown(job).status == "succeeded"


def test_never(define: Define, tasks: TasksManager) -> None:
    for option in ("retry=False", "retry=0", ""):
        module = failing(define, option)
        module.work.delay()
        assert tasks.run_pending_jobs().steps == 1
    assert len(tasks.failed_jobs) == 3


@pytest.mark.parametrize(
    ("strategy", "waits", "attempts"),
    [
        ("max_attempts=3, wait=50", [50, 50, 50], 4),
        ("max_attempts=3, linear_wait=100", [100, 200], 4),  # the first time at once
        ("max_attempts=4, exponential_wait=9", [9, 81, 729, 6561], 5),
        ("max_attempts=2, wait=100, exponential_wait=7", [107, 149], 3),
        ("max_attempts=4, linear_wait=2000000", [2e6, THIRTY_DAYS, THIRTY_DAYS], 5),
    ],
)
def test_strategy(
    strategy: str, waits: list[int], attempts: int, define: Define, tasks: TasksManager
) -> None:
    module = failing(define, f"retry=RetryStrategy({strategy})")
    job = module.work.delay()
    for wait in waits:
        tasks.run_pending_jobs()
        assert shown(job).status == "todo"
        assert seconds_to_wait(job) == pytest.approx(wait, abs=8)
        let_time_pass()
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).attempts) == ("failed", attempts)


def test_only_for_some_exceptions(define: Define, tasks: TasksManager) -> None:
    module = failing(
        define, "retry=RetryStrategy(max_attempts=2, retry_exceptions=[OSError, LookupError])"
    )
    for error, steps in ((ValueError("no"), 1), (KeyError("yes"), 3), (ConnectionError(), 3)):
        module.error = error
        module.work.delay()
        assert tasks.run_pending_jobs().steps == steps


@pytest.mark.parametrize("base", [5, 1e200, 10**12])
def test_exponential_waits_end_somewhere(base: float, define: Define, tasks: TasksManager) -> None:
    """Each wait ends, also if its number is too large for Python or PostgreSQL."""
    module = failing(define, f"retry=RetryStrategy(exponential_wait={base}, max_attempts=30)")
    job = module.work.delay()
    for tries in range(30):
        tasks.run_pending_jobs()
        assert shown(job).status == "todo"
        wait = THIRTY_DAYS if base > 5 else min(base ** (tries + 1), THIRTY_DAYS)
        assert seconds_to_wait(job) == about(wait)
        let_time_pass()
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).attempts) == ("failed", 31)


def test_time_of_a_strategy_without_a_time_zone(define: Define, tasks: TasksManager) -> None:
    module = failing(define, "retry=Impossible(retry_at=dt.datetime.utcnow().replace(year=2020))")
    module.until = 1
    job = module.work.delay()
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"


def test_strategy_of_ones_own(define: Define, tasks: TasksManager) -> None:
    """It may move the job to another queue, and change its priority and lock."""
    module = failing(define, "retry=Moving()")
    job = module.work.delay()
    tasks.run_pending_jobs()
    found = shown(job)
    assert (found.status, found.attempts) == ("failed", 3)
    assert (found.queue, found.priority, found.lock) == ("slow", 7, "l")


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("Broken()", "RuntimeError: the strategy is broken"),
        ("Impossible(queue='q' * 41)", "longer than 40"),
        ("Impossible(priority=2**40)", "not within 32 bits"),
        ("Impossible(retry_at='soon')", "'str' object has no attribute"),
    ],
)
def test_strategy_that_is_broken(
    strategy: str, reason: str, define: Define, tasks: TasksManager
) -> None:
    module = failing(define, f"retry={strategy}")
    job = module.work.delay()
    sample.noop.delay()
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert shown(job).error == "ValueError: it fails"
    for part in ("ValueError: it fails", reason):
        assert part in (shown(job).traceback or "")
    assert len(tasks.succeeded_jobs) == 1


def test_both_ways(define: Define, tasks: TasksManager) -> None:
    """After ``max_retries`` of the call, the option of the task allows no more tries."""
    module = retrying(define, "@task(retry=5)", max_retries=2, countdown=0)
    job = module.work.delay("a")
    assert tasks.run_pending_jobs().steps == 3
    assert "MaxRetriesExceededError" in (shown(job).error or "")


def test_both_ways_with_a_reason(define: Define, tasks: TasksManager) -> None:
    """The option of the task applies to the reason as to any other error."""
    module = define("""
        @task(retry=3)
        def work():
            work.retry(exc=KeyError("a reason"), max_retries=1, countdown=0)
    """)
    job = module.work.delay()
    assert tasks.run_pending_jobs().steps == 4
    assert (shown(job).status, shown(job).error) == ("failed", "KeyError: 'a reason'")


def test_errors_of_this_package_say_that_they_are() -> None:
    assert issubclass(MaxRetriesExceededError, BackgroundError)
    assert issubclass(NotInJobError, BackgroundError)
