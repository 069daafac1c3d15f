"""Arguments that fit a task, and arguments that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.background import ArgumentError, Call, JobContext, Task, send_task, task
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

got: list[Any] = []


@task
def plain(a: Any, b: Any = 2) -> None:
    got.append((a, b))


@task
def only(a: Any, b: Any = 2, /, c: Any = 3) -> None:
    got.append((a, b, c))


@task
def keywords(a: Any, *, b: Any, c: Any = 3) -> None:
    got.append((a, b, c))


@task
def many(a: Any, b: Any = 2, *args: Any, c: Any = 3, **kwargs: Any) -> None:
    got.append((a, b, args, c, kwargs))


@task
def any_more(a: Any, /, **kwargs: Any) -> None:
    got.append((a, kwargs))


@task(pass_context=True)
def context(context: JobContext, a: Any, *args: Any) -> None:
    got.append((context.id > 0, a, args))


@task(pass_context=True)
def context_among(*args: Any) -> None:
    got.append((args[0].id > 0, args[1:]))


@task
def ключ(значение: Any) -> None:
    got.append(значение)


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "stored", "result"),
    [
        (plain, [1], {}, {"a": 1}, (1, 2)),
        (plain, [1, 3], {}, {"a": 1, "b": 3}, (1, 3)),
        (plain, [], {"b": 3, "a": 1}, {"a": 1, "b": 3}, (1, 3)),
        (only, [1], {}, {"a": 1}, (1, 2, 3)),
        (only, [1, 4], {"c": 5}, {"a": 1, "b": 4, "c": 5}, (1, 4, 5)),
        (only, [1], {"c": 5}, {"a": 1, "c": 5}, (1, 2, 5)),
        (keywords, [1], {"b": 2}, {"a": 1, "b": 2}, (1, 2, 3)),
        (many, [1], {}, {"a": 1}, (1, 2, (), 3, {})),
        (many, [1, 2, 3, 4], {}, {"a": 1, "b": 2, "*": [3, 4]}, (1, 2, (3, 4), 3, {})),
        (many, [1], {"z": 9, "c": 0}, {"a": 1, "c": 0, "z": 9}, (1, 2, (), 0, {"z": 9})),
        (
            many,
            [1, 2, 3],
            {"args": 4, "kwargs": 5},
            {"a": 1, "b": 2, "*": [3], "args": 4, "kwargs": 5},
            (1, 2, (3,), 3, {"args": 4, "kwargs": 5}),
        ),
        (any_more, [1], {"self": 2, "b": 3}, {"a": 1, "self": 2, "b": 3}, (1, {"self": 2, "b": 3})),
        (context, [1, 2], {}, {"a": 1, "*": [2]}, (True, 1, (2,))),
        (context, [], {"a": 1}, {"a": 1}, (True, 1, ())),
        (context_among, [1, 2], {}, {"*": [1, 2]}, (True, (1, 2))),
        (context_among, [], {}, {}, (True, ())),
        (ключ, [], {"значение": "ü"}, {"значение": "ü"}, "ü"),
    ],
)
def test_arguments_that_fit(
    task: Any, args: Any, kwargs: Any, stored: Any, result: Any, tasks: TasksManager
) -> None:
    """They are kept by name, and arrive as they were given, however the job was asked for."""
    assert task(*args, **kwargs).args == stored
    for job in (task.delay(*args, **kwargs), send_task(task.name, args, kwargs)):
        assert tasks.jobs[job.id]["args"] == stored
    got.clear()
    tasks.run_pending_jobs()
    assert got == [result, result]


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "reason"),
    [
        (plain, [], {}, "missing a required argument: 'a'"),
        (plain, [1, 2, 3], {}, "too many positional arguments"),
        (plain, [1], {"a": 2}, "multiple values for argument 'a'"),
        (plain, [1], {"c": 2}, "unexpected keyword argument 'c'"),
        (only, [], {"a": 1}, "'a'"),
        (keywords, [1, 2], {}, "positional"),
        (keywords, [1], {}, "'b'"),
        (any_more, [1], {"a": 2}, "'a' by position and by name"),
        (many, [1], {"*": [2]}, r"called '\*'"),
        (context, [], {}, "'a'"),
        (context, [], {"context": 1, "a": 1}, "'context'"),
        (ключ, ["ü"], {"value": 1}, "'value'"),
    ],
)
def test_arguments_that_do_not_fit(task: Task[Any], args: Any, kwargs: Any, reason: str) -> None:
    """The error names the task, its parameters and the argument, where the call is made."""
    asking: list[Callable[[], Any]] = [
        lambda: task(*args, **kwargs),
        lambda: task.delay(*args, **kwargs),
        lambda: task.configure(priority=1).delay(*args, **kwargs),
        lambda: task.defer(*args, **kwargs),
        lambda: task.defer_sync(*args, **kwargs),
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


def test_one_of_a_batch_does_not_fit(tasks: TasksManager) -> None:
    with pytest.raises(ArgumentError, match="'name'"):
        sample.write.batch_defer({"name": "a"}, {"nam": "b"})
    assert tasks.jobs == {}


@pytest.mark.parametrize(
    ("what", "values", "kind"),
    [
        ("args", ["Hello World", 5, {"a": 1}, {1, 2}], "list"),
        ("kwargs", [["name"], "name", 5], "dict"),
    ],
)
def test_send_task_wants_a_list_and_a_dict(what: str, values: list[Any], kind: str) -> None:
    for value in values:
        for name in (sample.anything.name, "files.test.elsewhere"):
            with pytest.raises(ArgumentError, match=f"{what} of {name} are a {kind}"):
                send_task(name, **{what: value})


def test_a_function_that_changes_its_arguments(make_task: Any) -> None:
    """The call stays as it is, for the next time that it runs."""

    @make_task
    def take(names: list[str], *rest: list[str]) -> list[str]:
        return [names.pop(), rest[0].pop()]

    call = take(["a"], ["b"])
    assert call.run_once() == call.run_once() == ["a", "b"]


def test_stored_arguments_that_fit_no_more(make_task: Any) -> None:
    """As a job finds them after an upgrade, see ``test_revisions.py``."""

    @make_task
    def shorter(a: int) -> None: ...

    stored = Call(shorter.name, {"a": 1, "b": 3})
    with pytest.raises(ArgumentError, match=r"test_signature\.shorter\(a: 'int'\) .*'b'"):
        stored.run_once()
    for more in ("text", 5, {"a": 1}, None):
        with pytest.raises(ArgumentError, match=r"test_signature\.shorter"):
            shorter.signature.unpack({"a": 1, "*": more})
