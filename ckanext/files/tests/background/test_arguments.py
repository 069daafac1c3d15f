"""Arguments of tasks: they fit the function, and are JSON; others are refused at the call."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import re
from typing import Any

import pytest

from ckanext.files.background import ArgumentError, Call, JobContext, Task, send_task, task
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NAME = sample.anything.name
ELSEWHERE = "files.test.elsewhere"

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
        (plain, [], {}, r"plain\(a: 'Any', .* cannot be called so: missing a required .* 'a'"),
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
    for ask in (lambda: task(*args, **kwargs), lambda: send_task(task.name, args, kwargs)):
        with pytest.raises(ArgumentError, match=reason) as raised:
            ask()
        assert isinstance(raised.value, TypeError)
        assert f"ask {task.name}" in str(raised.value)


@pytest.mark.parametrize(
    ("what", "values", "kind"),
    [("args", ["Hello World", 5, {"a": 1}], "list"), ("kwargs", [["name"], "name"], "dict")],
)
def test_send_task_wants_a_list_and_a_dict(what: str, values: list[Any], kind: str) -> None:
    for value in values:
        with pytest.raises(ArgumentError, match=f"{what} of {ELSEWHERE} are a {kind}"):
            send_task(ELSEWHERE, **{what: value})


def test_a_function_that_changes_its_arguments(make_task: Any) -> None:
    """The call stays as it is, for the next time that it runs."""

    @make_task
    def take(names: list[str], *rest: list[str]) -> list[str]:
        return [names.pop(), rest[0].pop()]

    call = take(["a"], ["b"])
    assert call.run_once() == call.run_once() == ["a", "b"]


def test_stored_arguments_that_are_broken() -> None:
    """For those that fit no more see ``test_revisions.py``."""
    for more in ("text", 5, {"a": 1}, None):
        with pytest.raises(ArgumentError, match=r"test_arguments\.many"):
            Call(many.name, {"a": 1, "*": more}).run_once()


# values


class WithMethod:
    """Looks like a call, and is none."""

    def as_json(self) -> Any:
        return {"a": "call"}


def endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    return items


OF_OTHER_TYPES = [
    *(object(), {1}, b"bytes", iter([]), {}.keys(), dt.datetime(2026, 1, 1), decimal.Decimal(1)),
    *(WithMethod(), sample.noop),
]

IMPOSSIBLE = [
    *[(value, f"is of type {type(value).__name__}") for value in OF_OTHER_TYPES],
    *[(math.nan, "is nan"), (-math.inf, "is -inf")],
    ("a\0b", "has a NUL character"),
    ("\ud83d", "has half of a surrogate pair"),
    ({1: 2}, "key 1 .* is no string"),
    ({"a\0": 1}, r"key 'a\\x00' .* NUL"),
    ({"\udc00": 1}, r"key '\\udc00' .* surrogate"),
    (endless(), "is nested too deeply"),
    (deep(), "is nested too deeply"),
    (10**5000, "is an integer of .* digits"),
    (-(10**5000), "is an integer of .* digits"),
]


@pytest.mark.parametrize(("value", "reason"), IMPOSSIBLE, ids=[why for _, why in IMPOSSIBLE])
def test_impossible_values(value: Any, reason: str) -> None:
    """They are refused wherever they are, by their place."""
    places = {
        "": value,
        r".*\[1\]": [0, value],
        r".*\[0\]": (value,),
        r".*\['a'\]\[0\]\['b'\]": {"a": [{"b": value}]},
    }
    for place, argument in places.items():
        with pytest.raises(ArgumentError, match=reason) as raised:
            sample.anything(when=argument)
        assert isinstance(raised.value, TypeError)
        assert re.search(f"argument 'when' of task {NAME}{place}", str(raised.value))


def test_each_way_to_ask(tasks: TasksManager) -> None:
    """A refusal writes nothing, and leaves the transaction as it was."""
    before, value = sample.noop.delay(), object()
    for refused, ask in (
        (f"'when' of task {NAME}", lambda: sample.anything.delay(when=value)),
        (f"'b' of task {NAME}", lambda: sample.anything.batch_defer({"b": 1}, {"b": value})),
        (f"2 of task {NAME}", lambda: sample.anything.configure(priority=1).delay(1, value)),
        (f"'when' of task {NAME}", lambda: send_task(NAME, kwargs={"when": value})),
        (f"'when' of task {ELSEWHERE}", lambda: send_task(ELSEWHERE, kwargs={"when": value})),
        (f"1 of task {ELSEWHERE}", lambda: send_task(ELSEWHERE, [value])),
    ):
        with pytest.raises(ArgumentError, match=f"argument {refused}"):
            ask()
    for name in ("a\0b", "\ud800"):
        for task_name in (NAME, ELSEWHERE):
            with pytest.raises(ArgumentError, match=f"name of an argument of task {task_name}"):
                send_task(task_name, kwargs={name: 1})
    with pytest.raises(ArgumentError):
        send_task(ELSEWHERE, kwargs={1: 1})  # pyright: ignore[reportArgumentType]
    assert list(tasks.jobs) == [before.id]


POSSIBLE = [
    *(None, True, False, 0, -1, 2**31, 2**63, -(2**64), 10**1000),
    *(0.1, -1.5e-300, 5e-324, 1.0),
    *("", "ünï ☃ 🎉", "\x01\x1f\x7f\u2028\ufeff\ufffe", "a\nb\tc\r\n", "x" * 100_000),
    "%s %(name)s %% {} \\ \\u0000 \\x00 ' \" ; --",
    *([], {}, [[], {}, [None]]),
    {"": "", "ключ": ["значение"], "%s": "%", "*": 1, "args": 2},
    {"__call__": "no call of a task"},
]


def test_values_arrive_as_they_are(make_task: Any, run: Any) -> None:
    """At the first step, and at one that a job goes on with. But tuples become lists.

    And PostgreSQL keeps all the digits of a number, and not how it was written.
    """
    got: list[Any] = []

    @make_task
    def take(values: Any, others: Any, again: bool = True) -> Any:
        got.append(others)
        assert values == POSSIBLE
        assert [type(each) for each in values] == [type(each) for each in POSSIBLE]
        return take(values, others, again=False) if again else None

    assert run(take.delay(POSSIBLE, (1e15, 1e22, -0.0, (1, (2, 3)), {"a": ()}))).error is None
    assert got == [[1e15, 10**22, 0.0, [1, [2, 3]], {"a": []}]] * 2


LARGE = "ü" * 499_000
"""Almost as large as all arguments of a job may be, as UTF-8."""


@pytest.mark.parametrize(
    "ask",
    [lambda *a, **k: sample.anything.delay(*a, **k), lambda *a, **k: send_task(ELSEWHERE, a, k)],
)
def test_arguments_that_are_too_large(ask: Any, tasks: TasksManager) -> None:
    """The error names the limit, and the argument that is the largest; all are shown cut."""
    job = sample.anything.delay(text=LARGE)
    assert tasks.jobs[job.id]["args"] == {"text": LARGE}
    assert len(repr(sample.anything(text=LARGE))) < 500
    have = r"have [12],\d{3},\d{3} bytes as JSON, a job keeps 1,000,000 at most.*"
    for args, kwargs, largest in (
        ((), {"small": [1] * 1000, "text": LARGE + "ü" * 999}, "argument 'text' has 1,000,000"),
        ((LARGE, LARGE), {"small": 1}, r"argument '\*' has 1,996,00\d"),
    ):
        with pytest.raises(ArgumentError, match=have + largest) as raised:
            ask(*args, **kwargs)
        assert len(str(raised.value)) < 500
    assert list(tasks.jobs) == [job.id]


def test_a_step_that_goes_on_with_too_much(make_task: Any, run: Any) -> None:
    @make_task
    def grow(text: str) -> Any:
        return grow(text * 2)

    job = run(grow.delay(LARGE))
    assert (job.status, job.step) == ("failed", 0)
    assert "argument 'text' has 1,996,002" in job.error


class Colour(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):
    YES = "yes"


def test_a_call_keeps_plain_copies() -> None:
    """Of values of other classes, and of values that change later."""
    call = sample.anything(Colour.RED, Word.YES, {Word.YES: Colour.RED})
    assert repr(call) == f"{NAME}(*=[1, 'yes', {{'yes': 1}}])"
    items = [{"a": 1}]
    call = sample.anything(items=items)
    items[0]["a"] = 2
    items.append({})
    assert call.args == {"items": [{"a": 1}]}


def test_calls_are_values(tasks: TasksManager) -> None:
    inner = sample.write("ü")
    job = sample.anything.delay(inner, more=[inner])
    as_json = {"__call__": sample.write.name, "args": {"name": "ü"}}
    assert tasks.jobs[job.id]["args"] == {"*": [as_json], "more": [as_json]}
    assert json.loads(json.dumps(inner.as_json())) == as_json
    with pytest.raises(ArgumentError, match=r"argument 1 of task .* is of type object"):
        sample.anything(Call(sample.write.name, {"name": object()}))
