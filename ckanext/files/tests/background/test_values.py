"""Arguments are JSON: what it cannot hold is refused where the call is made."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.background import ArgumentError, send_task
from ckanext.files.background.call import Call
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NAME = sample.anything.name
ELSEWHERE = "files.test.elsewhere"


@dataclasses.dataclass
class Data:
    number: int


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
    *(object(), {1}, frozenset(), b"bytes", 1j, len, iter([]), range(3), {}.keys()),
    *(dt.datetime(2026, 1, 1), dt.date(2026, 1, 1), dt.timedelta(1), decimal.Decimal(1)),
    *(uuid.uuid4(), Path("file"), Data(1), WithMethod(), sample.noop),
]

IMPOSSIBLE = [
    *[(value, f"is of type {type(value).__name__}") for value in OF_OTHER_TYPES],
    *[(math.nan, "is nan"), (math.inf, "is inf"), (-math.inf, "is -inf")],
    ("a\0b", "has a NUL character"),
    ("\ud83d", "has half of a surrogate pair"),
    ({1: 2}, "key 1 .* is no string"),
    ({None: 2}, "key None .* is no string"),
    ({("a",): 2}, r"key \('a',\) .* is no string"),
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


@pytest.mark.parametrize("value", ["\0", object(), 10**5000], ids=["NUL", "object", "integer"])
def test_each_way_to_ask(value: Any, tasks: TasksManager) -> None:
    """A refusal writes nothing, and leaves the transaction as it was."""
    before = sample.noop.delay()
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
    """At the first step, and at one that a job goes on with."""
    got: list[Any] = []

    @make_task
    def take(values: Any, again: bool = True) -> Any:
        got.append(values)
        return take(values, again=False) if again else None

    assert run(take.delay(POSSIBLE)).status == "succeeded"
    for values in got:
        assert values == POSSIBLE
        assert [type(each) for each in values] == [type(each) for each in POSSIBLE]
    assert len(got) == 2


def test_values_that_arrive_as_others(make_task: Any, run: Any) -> None:
    """PostgreSQL keeps all the digits of a number, and not how it was written."""
    got: list[Any] = []

    @make_task
    def take(*values: Any) -> None:
        got.extend(values)

    run(take.delay(1e15, 1e22, -0.0, (1, (2, 3)), {"a": ()}))
    assert got == [1e15, 10**22, 0.0, [1, [2, 3]], {"a": []}]


LARGE = "ü" * 499_000
"""Almost as large as all arguments of a job may be, as UTF-8."""


@pytest.mark.parametrize(
    "ask",
    [
        lambda *a, **k: sample.anything(*a, **k),
        lambda *a, **k: sample.anything.delay(*a, **k),
        lambda *a, **k: sample.anything.configure(lock="x").delay(*a, **k),
        lambda *a, **k: send_task(NAME, a, k),
        lambda *a, **k: send_task(ELSEWHERE, a, k),
    ],
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
