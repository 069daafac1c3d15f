"""Definitions of tasks: functions, names and options."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import (
    ArgumentError,
    BackgroundError,
    Call,
    JobContext,
    RetryStrategy,
    Task,
    TaskDefinitionError,
    current_job,
    manager,
    task,
)
from ckanext.files.background.call import all_tasks, find_task, is_known
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.jobs import effects_of, running
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


class Methods:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...

    def __call__(self) -> None: ...


def generator() -> Any:
    yield


async def async_generator() -> Any:
    yield


def no_parameter() -> None: ...


def keyword(*, context: Any) -> None: ...


def with_inner() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("function", "culprit"),
    [
        (with_inner(), r"test_task\.with_inner\.<locals>\.inner is defined within a function"),
        (lambda: None, r"test_task\.<lambda> is defined within a function"),
        (Methods.method, r"test_task\.Methods\.method is a method"),
        (Methods.static, r"test_task\.Methods\.static is a method"),
        (generator, r"test_task\.generator is a generator"),
        (async_generator, r"test_task\.async_generator is a generator"),
        (Methods(), r"test_task\.Methods object .* is none"),
        (Methods, r"class .*test_task\.Methods'> is none"),
        ("NAME.echofunction", r"'NAME\.echofunction' is none"),  # without name=
        (sample.noop, "sample.noop> is none"),
    ],
)
def test_not_a_top_level_function(function: Any, culprit: str) -> None:
    known = set(all_tasks())
    with pytest.raises(TaskDefinitionError, match=culprit):
        task(function)
    with pytest.raises(TaskDefinitionError, match=culprit):
        task(name="files.test.not_one")(function)
    assert set(all_tasks()) == known


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"name": "x" * 129}, "name x{129} is longer than 128 characters"),
        ({"name": 5}, "name 5 is no string"),
        ({"name": "a\0b"}, "NUL"),
        ({"aliases": ["old", "x" * 129]}, "name x{129} is longer"),
        ({"aliases": "old"}, "aliases of"),
        ({"lock": 5}, "lock"),  # as in test_options
        ({"timeout": 0}, "timeout of"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"percent": 50}, "percent"),
        ({"retry": "often"}, "retry"),
        ({"retry": -1}, "retry"),
        ({"retry": RetryStrategy(retry_exceptions=OSError)}, "set of classes"),  # pyright: ignore
        ({"pass_context": True}, "context"),
    ],
)
def test_options_that_are_wrong(options: Any, culprit: str) -> None:
    """The error names task and option, when the module is imported."""
    known = set(all_tasks())
    with pytest.raises(TaskDefinitionError, match=culprit) as raised:
        task(**options)(no_parameter)
    assert no_parameter.__qualname__ in str(raised.value)
    assert set(all_tasks()) == known


def test_options_by_name_only() -> None:
    with pytest.raises(TaskDefinitionError, match=r"test_task\.keyword has pass_context"):
        task(pass_context=True)(keyword)
    with pytest.raises(TypeError, match=r"'retries': the options are .*retry, timeout"):
        task(retries=3)(no_parameter)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="positional"):
        task(no_parameter, "NAME.echofunction")  # pyright: ignore[reportCallIssue]


# names


def test_name_is_the_path(make_task: Any) -> None:
    @make_task
    def echo(message: str) -> None: ...

    @make_task()
    def other(message: str) -> None: ...

    named = make_task(no_parameter, name="NAME.echofunction")
    longest = make_task(no_parameter, name="ä" * 128)
    assert echo.name == f"{__name__}.echo"
    assert other.name == f"{__name__}.other"
    assert (named.name, longest.name) == ("NAME.echofunction", "ä" * 128)
    assert find_task("NAME.echofunction") is named
    assert {task.name for task in all_tasks()} > {echo.name, named.name}


def test_two_of_one_name(make_task: Any) -> None:
    """Also if it is an alias; the second one is not a task then."""

    @make_task(name="files.test.echo")
    def echo(message: str) -> None: ...

    def shout(message: str) -> None: ...

    with pytest.raises(TaskDefinitionError) as raised:
        make_task(shout, name="files.test.shout", aliases=["files.test.echo"])
    for culprit in ("files.test.echo", f"{__name__}.echo", f"{__name__}.shout"):
        assert culprit in str(raised.value)
    assert find_task("files.test.echo") is echo
    assert not is_known("files.test.shout")


def test_aliases(make_task: Any, ran: list[Any], tasks: TasksManager) -> None:
    @make_task(name="files.test.new", aliases=["files.test.old", "files.test.older"])
    def renamed(name: str) -> None:
        ran.append(name)

    names = ["files.test.new", "files.test.old", "files.test.older"]
    for name in names:
        assert find_task(name) is renamed
        manager.send_task(name, [name])
    tasks.run_pending_jobs()
    assert ran == names
    assert len(tasks.succeeded_jobs) == 3


# calls, and what runs


def test_calling_runs_nothing(make_task: Any, ran: list[Any]) -> None:
    @make_task
    def echo(message: str) -> None:
        """Print a message."""
        ran.append(message)

    call = echo("hello")
    assert isinstance(echo, Task)
    assert isinstance(call, Call)
    assert repr(call) == f"{__name__}.echo(message='hello')"
    assert repr(echo) == f"<task {__name__}.echo>"
    assert echo.__doc__ == "Print a message."
    assert ran == []


def test_a_task_returned_without_arguments(make_task: Any, run: Any) -> None:
    """The parentheses are missing: otherwise the job would succeed without its next step."""

    @make_task
    def first() -> Any:
        return sample.noop

    @make_task
    async def first_async() -> Any:
        return sample.noop

    for each in (first, first_async):
        assert run(each.delay()).status == "failed"
        with pytest.raises(BackgroundError, match=r"`return noop\(\.\.\.\)`"):
            each().run_once()


def test_sync_and_async(make_task: Any, ran: list[Any], run: Any) -> None:
    """Both run once for each job, outside of each other's loop, with or without the context."""

    @make_task
    def sync(message: str) -> None:
        asyncio.run(asyncio.sleep(0))
        ran.append((running().id, message))

    @make_task(pass_context=True)
    async def later(context: JobContext, message: str) -> None:
        await asyncio.sleep(0)
        ran.append((context.id, message))

    for each in (sync, later):
        job = each.delay("hello")
        assert run(job).status == "succeeded"
        assert ran == [(job.id, "hello")]
        ran.clear()
        assert current_job() is None


def test_other_decorators(make_task: Any, ran: list[Any], run: Any) -> None:
    """They are below ``@task``, which gets their result."""

    def loud(function: Any) -> Any:
        return functools.wraps(function)(lambda *a, **k: (ran.append("loud"), function(*a, **k)))

    @make_task
    @loud
    def echo(message: str) -> None:
        ran.append(message)

    assert echo.name == f"{__name__}.echo"
    with pytest.raises(ArgumentError, match="'message'"):
        echo.delay(text="hello")
    run(echo.delay("hello"))
    assert ran == ["loud", "hello"]


def test_manager(effects: Effects, name: str, tasks: TasksManager) -> None:
    """With the names of text C of docs/testing/promises.rst."""
    assert manager.task is task

    async def use() -> None:
        await manager.open()
        await sample.write.defer(f"{name}-1")
        await manager.close()
        async with manager.open() as opened:
            assert opened is manager
            await sample.write.defer(f"{name}-2")

    asyncio.run(use())
    manager.open_sync()
    sample.write.defer_sync(f"{name}-3")
    manager.close_sync()
    with manager.open_sync() as opened:
        assert opened is manager
        sample.write.defer_sync(f"{name}-4")
    tasks.run_pending_jobs()
    assert effects_of(name) == [f"{name}-{number}" for number in (1, 2, 3, 4)]
