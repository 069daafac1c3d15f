"""Arguments that fit a task, and arguments that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import ArgumentError, send_task
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.job_rows import Define
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

KINDS = """
    got = {}

    @task
    def plain(a, b=2):
        got["plain"] = (a, b)

    @task
    def only(a, b=2, /, c=3):
        got["only"] = (a, b, c)

    @task
    def keywords(a, *, b, c=3):
        got["keywords"] = (a, b, c)

    @task
    def many(a, b=2, *args, c=3, **kwargs):
        got["many"] = (a, b, args, c, kwargs)

    @task
    def any_more(a, /, **kwargs):
        got["any_more"] = (a, kwargs)

    @task(pass_context=True)
    def context(context, a, *args):
        got["context"] = (context.id > 0, a, args)

    @task(pass_context=True)
    def context_among(*args):
        got["context_among"] = (args[0].id > 0, args[1:])

    @task
    def ключ(значение):
        got["ключ"] = значение
"""


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "stored", "result"),
    [
        ("plain", [1], {}, {"a": 1}, (1, 2)),
        ("plain", [1, 3], {}, {"a": 1, "b": 3}, (1, 3)),
        ("plain", [], {"b": 3, "a": 1}, {"a": 1, "b": 3}, (1, 3)),
        ("only", [1], {}, {"a": 1}, (1, 2, 3)),
        ("only", [1, 4], {"c": 5}, {"a": 1, "b": 4, "c": 5}, (1, 4, 5)),
        ("only", [1], {"c": 5}, {"a": 1, "c": 5}, (1, 2, 5)),
        ("keywords", [1], {"b": 2}, {"a": 1, "b": 2}, (1, 2, 3)),
        ("many", [1], {}, {"a": 1}, (1, 2, (), 3, {})),
        ("many", [1, 2, 3, 4], {}, {"a": 1, "b": 2, "*": [3, 4]}, (1, 2, (3, 4), 3, {})),
        ("many", [1], {"z": 9, "c": 0}, {"a": 1, "c": 0, "z": 9}, (1, 2, (), 0, {"z": 9})),
        (
            "many",
            [1, 2, 3],
            {"args": 4, "kwargs": 5},
            {"a": 1, "b": 2, "*": [3], "args": 4, "kwargs": 5},
            (1, 2, (3,), 3, {"args": 4, "kwargs": 5}),
        ),
        (
            "any_more",
            [1],
            {"self": 2, "b": 3},
            {"a": 1, "self": 2, "b": 3},
            (1, {"self": 2, "b": 3}),
        ),
        ("context", [1, 2], {}, {"a": 1, "*": [2]}, (True, 1, (2,))),
        ("context", [], {"a": 1}, {"a": 1}, (True, 1, ())),
        ("context_among", [1, 2], {}, {"*": [1, 2]}, (True, (1, 2))),
        ("context_among", [], {}, {}, (True, ())),
        ("ключ", [], {"значение": "ü"}, {"значение": "ü"}, "ü"),
    ],
)
def test_arguments_that_fit(
    define: Define,
    tasks: TasksManager,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    stored: dict[str, Any],
    result: Any,
) -> None:
    """They are kept by name, and arrive as they were given, however the job was asked for."""
    module = define(KINDS)
    task = getattr(module, name)
    assert task(*args, **kwargs).args == stored
    for ask in (task.delay, lambda *args, **kwargs: send_task(task.name, args, kwargs)):
        module.got.clear()
        job = ask(*args, **kwargs)
        assert tasks.jobs[job.id]["args"] == stored
        tasks.run_pending_jobs()
        assert module.got == {name: result}


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "reason"),
    [
        ("plain", [], {}, "missing a required argument: 'a'"),
        ("plain", [1, 2, 3], {}, "too many positional arguments"),
        ("plain", [1], {"a": 2}, "multiple values for argument 'a'"),
        ("plain", [1], {"c": 2}, "unexpected keyword argument 'c'"),
        ("only", [], {"a": 1}, "'a'"),
        ("keywords", [1, 2], {}, "positional"),
        ("keywords", [1], {}, "'b'"),
        ("any_more", [1], {"a": 2}, "'a' by position and by name"),
        ("many", [1], {"*": [2]}, r"called '\*'"),
        ("context", [], {}, "'a'"),
        ("context", [], {"context": 1, "a": 1}, "'context'"),
        ("ключ", ["ü"], {"value": 1}, "'value'"),
    ],
)
def test_arguments_that_do_not_fit(
    define: Define, name: str, args: list[Any], kwargs: dict[str, Any], reason: str
) -> None:
    """The error names the task, its parameters and the argument, where the call is made."""
    task = getattr(define(KINDS), name)
    asking: list[Callable[[], Any]] = [
        lambda: task(*args, **kwargs),
        lambda: task.delay(*args, **kwargs),
        lambda: task.defer(*args, **kwargs),
        lambda: task.defer_sync(*args, **kwargs),
        lambda: task.configure(priority=1).delay(*args, **kwargs),
        lambda: send_task(task.name, args, kwargs),
    ]
    for ask in asking:
        with pytest.raises(ArgumentError, match=reason) as raised:
            ask()
        assert isinstance(raised.value, TypeError)
        assert f"ask {task.name}" in str(raised.value)


def test_error_shows_the_parameters() -> None:
    with pytest.raises(ArgumentError, match=r"sample\.write\(name: 'str'\).* cannot be called so"):
        sample.write()


def test_batch(tasks: TasksManager) -> None:
    with pytest.raises(ArgumentError, match="'name'"):
        sample.write.batch_defer({"name": "a"}, {"nam": "b"})
    assert tasks.jobs == {}
    assert sample.write.batch_defer() == []


@pytest.mark.parametrize(
    ("args", "kwargs"), [("Hello World", None), (5, None), ({"a": 1}, None), ({1, 2}, None)]
)
def test_send_task_wants_a_list(args: Any, kwargs: Any) -> None:
    for name in (sample.anything.name, "files.test.elsewhere"):
        with pytest.raises(ArgumentError, match=f"args of {name} are a list"):
            send_task(name, args, kwargs)


@pytest.mark.parametrize("kwargs", [["name"], "name", 5])
def test_send_task_wants_a_dict(kwargs: Any) -> None:
    for name in (sample.anything.name, "files.test.elsewhere"):
        with pytest.raises(ArgumentError, match=f"kwargs of {name} are a dict"):
            send_task(name, [], kwargs)


def test_a_function_that_changes_its_arguments(define: Define) -> None:
    """The call stays as it is, for the next time that it runs."""
    module = define("""
        @task
        def take(names, *rest):
            return [names.pop(), rest[0].pop()]
    """)
    call = module.take(["a"], ["b"])
    assert call.run_once() == call.run_once() == ["a", "b"]


def test_stored_arguments_that_fit_no_more(define: Define) -> None:
    """As a job finds them after an upgrade, see ``test_revisions.py``."""
    call = define(KINDS).plain(1, 3)
    module = define("""
        @task
        def plain(a): ...
    """)
    with pytest.raises(ArgumentError, match=r"files_test_tasks\.plain\(a\) .*'b'"):
        call.run_once()
    for more in ("text", 5, {"a": 1}, None):
        with pytest.raises(ArgumentError, match=r"files_test_tasks\.plain"):
            module.plain.signature.unpack({"a": 1, "*": more})
