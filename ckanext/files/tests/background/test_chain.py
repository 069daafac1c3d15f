"""Several calls, one after the other, in one job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import (
    ArgumentError,
    Call,
    Task,
    chain,
    control,
    deserialize_task,
)
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, look
from ckanext.files.tests.support.job_rows import Define, shown
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NOTING = """
    ran = []

    @task
    def note(*values):
        ran.append(list(values))
        return len(ran)

    @task
    async def note_later(value):
        ran.append([value])

    @task(percent=lambda times, total=3: 100 * (total - times) / total)
    def wait(times, total=3):
        ran.append(["wait", times])
        if times:
            return wait(times - 1, total)

    broken = set()

    @task
    def fail(name):
        ran.append(["fail", name])
        if name in broken:
            raise ValueError(f"{name} is broken")

    @task
    def wait_and_print(times, name):
        return chain([wait(times), note("hello", name)])
"""


def test_the_state_machine_of_text_d(define: Define, tasks: TasksManager) -> None:
    module = define(NOTING)
    job = module.wait_and_print.delay(3, "Sebastian")
    assert tasks.run_pending_jobs().steps == 6
    waits = [["wait", times] for times in (3, 2, 1, 0)]
    assert module.ran == [*waits, ["hello", "Sebastian"]]
    assert len(tasks.jobs) == 1
    assert (shown(job).task, shown(job).step) == ("files_test_tasks.wait_and_print", 6)


def test_a_chain_of_ones_own(define: Define, tasks: TasksManager) -> None:
    """As in text D of docs/testing/promises.rst, made of the public parts."""
    module = define(
        NOTING
        + """
    @task
    def my_chain(values, total):
        first, *rest = map(deserialize_task, values)
        result = first.run_once()
        if isinstance(result, Call):
            return my_chain([result, *rest], total)
        if not rest:
            return result
        return my_chain(rest, total)
        """
    )
    module.my_chain.delay([module.wait(1), module.note("a"), module.wait(0)], 3)
    assert tasks.run_pending_jobs().steps == 4
    assert module.ran == [["wait", 1], ["wait", 0], ["a"], ["wait", 0]]
    assert len(tasks.succeeded_jobs) == 1


TEXT_D = """
    @task
    def chain(values, total_count=None):
        tasks = map(deserialize_task, values) # need to manually deserialize the tasks
        first, *rest = tasks
        res = first.run_once()
        if isinstance(res, Task):
            return chain([res] + rest, total_count)
        elif not rest:
            return res
        else:
            # Ignoring res here.
            return chain(rest, total_count)
"""
"""The chain of text D, with the parameter total_count, which the text forgets."""


@pytest.mark.parametrize("task_is", ["Task", "background.Task"])
def test_the_chain_of_text_d(task_is: str, define: Define, tasks: TasksManager) -> None:
    """With another import, the code runs as it is."""
    imports = "\n    from ckanext.files import background\n"
    module = define(NOTING + imports + TEXT_D.replace("Task)", f"{task_is})"))
    job = module.chain.delay([module.wait(2), module.note("hello", "Sebastian"), module.wait(0)])
    assert tasks.run_pending_jobs().steps == 5
    waits = [["wait", times] for times in (2, 1, 0)]
    assert module.ran == [*waits, ["hello", "Sebastian"], ["wait", 0]]
    assert (shown(job).status, shown(job).step) == ("succeeded", 5)


def test_what_is_a_task(define: Define) -> None:
    """The result of the decorator, and the result of calling that; nothing else."""
    module = define(NOTING)
    assert isinstance(module.wait, Task)
    assert isinstance(module.wait(1), Task)
    assert isinstance(deserialize_task(module.wait(1).as_json()), Task)
    assert not any(isinstance(each, Task) for each in (None, 1, "x", {}, module.wait(1).as_json()))


def test_order(define: Define, tasks: TasksManager) -> None:
    """Sync and async tasks, with arguments of each kind; results are not passed on."""
    module = define(NOTING)
    calls = [module.note(1), module.note_later("ü"), module.note(), module.note([1], {"a": None})]
    job = chain.delay(calls)
    assert tasks.run_pending_jobs().steps == 4
    assert module.ran == [[1], ["ü"], [], [[1], {"a": None}]]
    assert (shown(job).status, shown(job).step) == ("succeeded", 4)


def test_chains_in_chains(define: Define, tasks: TasksManager) -> None:
    module = define(NOTING)
    inner = chain([module.note(2), chain([module.note(3), module.wait(1)]), module.note(4)])
    chain.delay([module.note(1), inner, module.note(5)])
    tasks.run_pending_jobs()
    assert module.ran == [[1], [2], [3], ["wait", 1], ["wait", 0], [4], [5]]
    assert len(tasks.succeeded_jobs) == 1


def test_of_one_and_of_none(define: Define, tasks: TasksManager) -> None:
    module = define(NOTING)
    chain.delay([module.note(1)])
    empty = chain.delay([])
    assert tasks.run_pending_jobs().steps == 2
    assert module.ran == [[1]]
    assert (shown(empty).status, shown(empty).step) == ("succeeded", 1)
    assert len(tasks.succeeded_jobs) == 2


def test_as_the_result_of_a_step(define: Define, tasks: TasksManager) -> None:
    """``run_once`` of a chain runs one step of it."""
    module = define(NOTING)
    call = chain([module.note(1), module.note(2)])
    following = call.run_once()
    assert module.ran == [[1]]
    assert isinstance(following, Call)
    assert following.run_once() == 2
    assert module.ran == [[1], [2]]


def test_calls_as_json(define: Define, tasks: TasksManager) -> None:
    module = define(NOTING)
    chain.delay(json.loads(json.dumps([module.note(1).as_json(), module.wait(0).as_json()])))
    tasks.run_pending_jobs()
    assert module.ran == [[1], ["wait", 0]]


@pytest.mark.parametrize("calls", [["noop"], [5], [{}], [None], [[]], "noop", 5])
def test_what_is_no_call(calls: Any, define: Define, tasks: TasksManager) -> None:
    """It is refused where the chain is made, and names the culprit."""
    for ask in (chain, chain.delay, lambda calls: chain([chain(calls), sample.noop()])):
        with pytest.raises(ArgumentError, match=r"ckanext\.files\.chain"):
            ask(calls)
    assert tasks.jobs == {}


def test_one_that_fails(define: Define, tasks: TasksManager, effects: Effects, unique: Any) -> None:
    """What came before it stays, what comes after it does not run; a retry begins with it."""
    module, name = define(NOTING), unique("job")
    module.broken.add("b")
    effect = sample.write
    calls = [effect(f"{name}-1"), module.fail("a"), module.fail("b"), effect(f"{name}-2")]
    job = chain.delay(calls)
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).error) == ("failed", "ValueError: b is broken")
    assert effects.exists(f"{name}-1")
    assert not effects.exists(f"{name}-2")
    module.broken.clear()
    assert control.retry(job.id)
    tasks.run_pending_jobs()
    assert module.ran == [["fail", "a"], ["fail", "b"], ["fail", "b"]]
    assert effects.exists(f"{name}-2")
    assert shown(job).status == "succeeded"


def test_abort_between_two_parts(define: Define, tasks: TasksManager, unique: Any) -> None:
    module = define(
        NOTING
        + """
    from ckanext.files.background import control

    @task
    def stop():
        control.cancel(current_job().id)
        """
    )
    job = chain.delay([module.note(1), module.stop(), module.note(2)])
    tasks.run_pending_jobs()
    assert module.ran == [[1]]
    assert (shown(job).status, shown(job).step) == ("aborted", 2)
    assert control.retry(job.id)
    tasks.run_pending_jobs()
    assert module.ran == [[1], [2]]


def test_each_part_commits(define: Define, tasks: TasksManager, unique: Any) -> None:
    """The second part sees the effects of the first one over another connection."""
    module = define("""
        from ckanext.files.tests.support.effects import look
        seen = []

        @task
        def see(name):
            query = "SELECT EXISTS (SELECT FROM files_test_effect WHERE name = :name)"
            seen.append(look(query, name=name))
    """)
    name = unique("job")
    chain.delay([module.see(name), sample.write(name), module.see(name)])
    tasks.run_pending_jobs()
    assert module.seen == [False, True]


def test_progress(define: Define, tasks: TasksManager) -> None:
    """All parts count the same; a part with a progress of its own counts by that."""
    module = define(
        NOTING
        + """
    from ckanext.files.background import record
    shown = []

    @task
    def show():
        shown.append(record.find(current_job().id).percent)

    @task(percent=lambda times, total: 100 * (total - times) / total)
    def show_often(times, total):
        shown.append(record.find(current_job().id).percent)
        if times:
            return show_often(times - 1, total)
        """
    )
    job = chain.delay([module.show(), module.show_often(2, 2), module.show(), module.show()])
    tasks.run_pending_jobs()
    # not known before the first step ends; show_often ends with its third step, at 100 of its 25
    assert module.shown == [None, 25, 37.5, 50, 50, 75]
    assert shown(job).percent == 100


def test_many(tasks: TasksManager, unique: Any) -> None:
    name = unique("job")
    chain.delay([sample.write(f"{name}-{number}") for number in range(150)])
    model.Session.commit()
    assert tasks.run_pending_jobs().steps == 150
    query = "SELECT count(*) FROM files_test_effect WHERE name LIKE :names"
    assert look(query, names=f"{name}-%") == 150
