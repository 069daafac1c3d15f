"""Definitions of tasks: functions, names and options."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import (
    ArgumentError,
    BackgroundError,
    Call,
    RetryStrategy,
    Task,
    TaskDefinitionError,
    UnknownTaskError,
    current_job,
    manager,
    task,
)
from ckanext.files.background.call import all_tasks, find_task, is_known
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.job_rows import Define
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


def only_keywords(*, context: Any) -> None: ...


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
        (Methods().method, r"test_task\.Methods\.method is a method"),
        (generator, r"test_task\.generator is a generator"),
        (async_generator, r"test_task\.async_generator is a generator"),
        (Methods(), r"test_task\.Methods object .* is none"),
        (Methods, r"class .*test_task\.Methods'> is none"),
        ("echo", "'echo' is none"),
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
        ({"name": "ü" * 129}, "is longer than 128 characters"),
        ({"name": 5}, "name 5 is no string"),
        ({"name": "a\0b"}, "NUL"),
        ({"name": "\ud800"}, "half of a surrogate pair"),
        ({"aliases": ["old", "x" * 129]}, "name x{129} is longer"),
        ({"aliases": [None]}, "name None is no string"),
        ({"aliases": "old"}, "aliases of"),
        ({"queue": "q" * 41}, "queue .*longer than 40 bytes"),
        ({"queue": 5}, "queue"),
        ({"queue": "a\0b"}, "queue .*NUL"),
        ({"lock": 5}, "lock"),
        ({"queueing_lock": ["a"]}, "queueing_lock"),
        ({"priority": 2**31}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"timeout": 0}, "timeout of"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"percent": 50}, "percent"),
        ({"retry": "often"}, "retry"),
        ({"retry": -1}, "retry"),
        ({"pass_context": True}, "context"),
    ],
)
def test_options_that_are_wrong(define: Define, options: Any, culprit: str) -> None:
    """The error names task and option, when the module is imported."""
    known = set(all_tasks())
    with pytest.raises(TaskDefinitionError, match=culprit) as raised:
        task(**options)(no_parameter)
    assert no_parameter.__qualname__ in str(raised.value)
    assert set(all_tasks()) == known


def test_context_needs_a_place(define: Define) -> None:
    with pytest.raises(TaskDefinitionError, match=r"only_keywords"):
        task(pass_context=True)(only_keywords)


def test_an_unknown_option() -> None:
    with pytest.raises(TypeError, match="retries"):
        task(retries=3)(no_parameter)  # pyright: ignore[reportCallIssue]


def test_name_of_128_characters(define: Define) -> None:
    name = "ä" * 128
    assert task(name=name)(no_parameter).name == name


def test_name_is_the_path(define: Define) -> None:
    module = define("""
        @task
        def echo(message): ...

        @task()
        def other(message): ...

        @task(name="NAME.echofunction")
        def named(message): ...
    """)
    assert module.echo.name == "files_test_tasks.echo"
    assert module.other.name == "files_test_tasks.other"
    assert module.named.name == "NAME.echofunction"
    assert find_task("NAME.echofunction") is module.named
    assert {task.name for task in all_tasks()} > {module.echo.name, module.named.name}


def test_two_of_one_name(define: Define) -> None:
    define("""
        @task(name="files.test.echo")
        def echo(message): ...
    """)
    with pytest.raises(TaskDefinitionError) as raised:
        define(
            """
            @task(name="files.test.echo")
            def shout(message): ...
            """,
            name="files_test_others",
        )
    for culprit in ("files.test.echo", "files_test_tasks.echo", "files_test_others.shout"):
        assert culprit in str(raised.value)
    assert find_task("files.test.echo").path == "files_test_tasks.echo"


def test_an_alias_that_is_taken(define: Define) -> None:
    with pytest.raises(TaskDefinitionError, match=r"files\.test\.first"):
        define("""
            @task(name="files.test.first")
            def first(): ...

            @task(name="files.test.second", aliases=["files.test.first"])
            def second(): ...
        """)
    assert find_task("files.test.first").path == "files_test_tasks.first"
    assert not is_known("files.test.second")


def test_a_module_that_is_reloaded(define: Define) -> None:
    """It is the same task, with its new source."""
    module = define("""
        @task(aliases=["files.test.old"])
        def echo(message): ...
    """)
    first = module.echo
    second = importlib.reload(module).echo
    assert second is not first
    assert find_task("files_test_tasks.echo") is second
    assert find_task("files.test.old") is second
    assert [task.path for task in all_tasks()].count("files_test_tasks.echo") == 1


def test_two_functions_of_one_path(define: Define) -> None:
    """It is a second function, not a reload of the first one, which would never run."""
    with pytest.raises(TaskDefinitionError, match=r"files_test_tasks\.echo"):
        define("""
            @task
            def echo(message): ...

            @task
            def echo(message, times): ...
        """)


def test_aliases(define: Define, tasks: Any) -> None:
    module = define("""
        ran = []

        @task(name="files.test.new", aliases=["files.test.old", "files.test.older"])
        def renamed(name):
            ran.append(name)
    """)
    for name in ("files.test.new", "files.test.old", "files.test.older"):
        assert find_task(name) is module.renamed
        manager.send_task(name, [name])
    tasks.run_pending_jobs()
    assert module.ran == ["files.test.new", "files.test.old", "files.test.older"]
    assert len(tasks.succeeded_jobs) == 3


def test_unknown_task_names_a_similar_one() -> None:
    with pytest.raises(UnknownTaskError, match=r"sample\.nop: .*Did you mean .*sample\.noop\?"):
        find_task("ckanext.files.tests.support.sample.nop")


def test_calling_runs_nothing(define: Define) -> None:
    module = define("""
        ran = []

        @task
        def echo(message):
            "Print a message."
            ran.append(message)
    """)
    call = module.echo("hello")
    assert isinstance(module.echo, Task)
    assert isinstance(call, Call)
    assert repr(call) == "files_test_tasks.echo(message='hello')"
    assert repr(module.echo) == "<task files_test_tasks.echo>"
    assert module.echo.__doc__ == "Print a message."
    assert module.ran == []


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_task_returned_without_arguments(define: Define, tasks: Any, kind: str) -> None:
    """The parentheses are missing: otherwise the job would succeed without its next step."""
    module = define(f"""
        @task
        def second():
            pass

        @task
        {kind} first():
            return second
    """)
    job = module.first.delay()
    tasks.run_pending_jobs()
    [failed] = tasks.failed_jobs
    assert failed["id"] == job.id
    with pytest.raises(BackgroundError, match=r"`return second\(\.\.\.\)`"):
        module.first().run_once()


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("pass_context", [False, True])
def test_sync_and_async(define: Define, tasks: Any, kind: str, pass_context: bool) -> None:
    """Both run once for each job, outside of each other's loop, with or without the context."""
    module = define(f"""
        import asyncio
        ran = []

        @task(pass_context={pass_context})
        {kind} echo({"context, " * pass_context}message):
            {"await asyncio.sleep(0)" if kind == "async def" else "asyncio.run(asyncio.sleep(0))"}
            ran.append(({"context.id" if pass_context else "current_job().id"}, message))
    """)
    job = module.echo.delay("hello")
    tasks.run_pending_jobs()
    assert module.ran == [(job.id, "hello")]
    assert len(tasks.succeeded_jobs) == 1
    assert current_job() is None


def test_async_task_within_the_loop_of_a_test(define: Define, tasks: Any) -> None:
    module = define("""
        import asyncio
        ran = []

        @task
        async def echo(message):
            await asyncio.sleep(0)
            ran.append(message)

        @task
        async def fail():
            await asyncio.sleep(0)
            raise ValueError("it fails")
    """)

    async def test() -> None:
        await module.echo.defer("hello")
        await module.fail.defer()
        await tasks.run_pending_jobs()
        await asyncio.sleep(0)

    asyncio.run(test())
    assert module.ran == ["hello"]
    assert [job["status"] for job in tasks.finished_jobs] == ["succeeded", "failed"]


def test_other_decorators(define: Define, tasks: Any) -> None:
    """They are below ``@task``, which gets their result."""
    module = define("""
        import functools
        ran = []

        def loud(function):
            @functools.wraps(function)
            def louder(*args, **kwargs):
                ran.append("loud")
                return function(*args, **kwargs)

            return louder

        @task
        @loud
        def echo(message):
            ran.append(message)
    """)
    assert module.echo.name == "files_test_tasks.echo"
    with pytest.raises(ArgumentError, match="'message'"):
        module.echo.delay(text="hello")
    module.echo.delay("hello")
    tasks.run_pending_jobs()
    assert module.ran == ["loud", "hello"]


def test_options_by_name_only() -> None:
    """A name without ``name=`` is an argument in place of the function."""
    with pytest.raises(TaskDefinitionError, match=r"'NAME\.echofunction' is none"):
        task("NAME.echofunction")  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TypeError, match="positional"):
        task(no_parameter, "NAME.echofunction")  # pyright: ignore[reportCallIssue]


def test_retry_option() -> None:
    assert sample.noop.retry_strategy is None
    for retry, most in ((True, None), (3, 3), (RetryStrategy(max_attempts=5), 5)):
        strategy = Task(no_parameter, name="files.test.retry", retry=retry).retry_strategy
        assert isinstance(strategy, RetryStrategy)
        assert strategy.max_attempts == most


def test_manager(define: Define, tasks: Any) -> None:
    """With the names of text C of docs/testing/promises.rst."""
    module = define("""
        ran = []

        @manager.task
        def plain(a: int, b: int) -> None:
            ran.append((a, b))

        @manager.task(name="files.test.managed")
        async def managed(a: int) -> None:
            ran.append(a)
    """)

    async def use() -> None:
        await manager.open()
        await module.plain.defer(1, 2)
        await manager.close()

    asyncio.run(use())
    manager.open_sync()
    module.managed.defer_sync(3)
    manager.close_sync()
    tasks.run_pending_jobs()
    assert module.ran == [(1, 2), 3]


def test_manager_in_with(define: Define, tasks: Any) -> None:
    module = define("""
        ran = []

        @manager.task
        def plain(a: int) -> None:
            ran.append(a)
    """)

    async def use() -> None:
        async with manager.open() as opened:
            assert opened is manager
            await module.plain.defer(1)

    asyncio.run(use())
    with manager.open_sync() as opened:
        assert opened is manager
        module.plain.defer_sync(2)
    tasks.run_pending_jobs()
    assert module.ran == [1, 2]
