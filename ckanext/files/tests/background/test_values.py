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
from ckan import model
from sqlalchemy import text

from ckanext.files.background import ArgumentError, record, send_task
from ckanext.files.background.call import Call
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

NAME = sample.anything.name


@dataclasses.dataclass
class Data:
    number: int


class WithMethod:
    """Looks like a call, and is none."""

    def as_json(self) -> Any:
        return {"a": "call"}


def look_for_jobs() -> Any:
    """Count jobs, also of this transaction."""
    return model.Session.execute(text(f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs")).scalar()


def endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    return items


IMPOSSIBLE = [
    pytest.param(object(), "is of type object", id="object"),
    pytest.param({1}, "is of type set", id="set"),
    pytest.param(frozenset(), "is of type frozenset", id="frozenset"),
    pytest.param(b"bytes", "is of type bytes", id="bytes"),
    pytest.param(dt.datetime(2026, 1, 1), "is of type datetime", id="datetime"),
    pytest.param(dt.date(2026, 1, 1), "is of type date", id="date"),
    pytest.param(dt.timedelta(1), "is of type timedelta", id="timedelta"),
    pytest.param(uuid.uuid4(), "is of type UUID", id="uuid"),
    pytest.param(decimal.Decimal(1), "is of type Decimal", id="decimal"),
    pytest.param(1j, "is of type complex", id="complex"),
    pytest.param(Path("file"), "is of type .*Path", id="path"),
    pytest.param(Data(1), "is of type Data", id="dataclass"),
    pytest.param(WithMethod(), "is of type WithMethod", id="as_json"),
    pytest.param(sample.noop, "is of type Task", id="task"),
    pytest.param(len, "is of type builtin", id="function"),
    pytest.param(iter([]), "is of type list_iterator", id="iterator"),
    pytest.param(range(3), "is of type range", id="range"),
    pytest.param({}.keys(), "is of type dict_keys", id="view"),
    pytest.param(math.nan, "is nan", id="nan"),
    pytest.param(math.inf, "is inf", id="inf"),
    pytest.param(-math.inf, "is -inf", id="-inf"),
    pytest.param("a\0b", "has a NUL character", id="NUL"),
    pytest.param("\ud83d", "has half of a surrogate pair", id="surrogate"),
    pytest.param({1: 2}, "key 1 .* is no string", id="key"),
    pytest.param({None: 2}, "key None .* is no string", id="no key"),
    pytest.param({("a",): 2}, r"key \('a',\) .* is no string", id="tuple as a key"),
    pytest.param({"a\0": 1}, r"key 'a\\x00' .* NUL", id="NUL in a key"),
    pytest.param({"\udc00": 1}, r"key '\\udc00' .* surrogate", id="surrogate in a key"),
    pytest.param(endless(), "is nested too deeply", id="endless"),
    pytest.param(deep(), "is nested too deeply", id="deep"),
    pytest.param(10**5000, "is an integer of .* digits", id="integer"),
    pytest.param(-(10**5000), "is an integer of .* digits", id="negative integer"),
]


@pytest.mark.parametrize(("value", "reason"), IMPOSSIBLE)
def test_impossible_values(value: Any, reason: str) -> None:
    """They are refused wherever they are, by their place; nothing is written."""
    places: list[tuple[Any, str]] = [
        (value, "argument 'when' of task"),
        ([0, value], r"argument 'when' of task .*\[1\]"),
        ((value,), r"argument 'when' of task .*\[0\]"),
        ({"a": [{"b": value}]}, r"argument 'when' of task .*\['a'\]\[0\]\['b'\]"),
    ]
    for argument, place in places:
        with pytest.raises(ArgumentError) as raised:
            sample.anything(when=argument)
        message = str(raised.value)
        assert isinstance(raised.value, TypeError)
        assert re.search(reason, message)
        assert re.search(place, message)
        assert NAME in message


@pytest.mark.parametrize(("value", "reason"), IMPOSSIBLE)
def test_each_way_to_ask(value: Any, reason: str) -> None:
    with pytest.raises(ArgumentError, match=f"argument 'when' of task {NAME}"):
        sample.anything.delay(when=value)
    with pytest.raises(ArgumentError, match=f"argument 'when' of task {NAME}"):
        sample.anything.configure(priority=1).batch_defer({"when": 1}, {"when": value})
    with pytest.raises(ArgumentError, match=f"argument 2 of task {NAME}"):
        sample.anything.delay(1, value)
    with pytest.raises(ArgumentError, match=f"argument 'when' of task {NAME}"):
        send_task(NAME, kwargs={"when": value})
    with pytest.raises(ArgumentError, match=r"argument 'when' of task files\.test\.elsewhere"):
        send_task("files.test.elsewhere", kwargs={"when": value})
    with pytest.raises(ArgumentError, match=r"argument 1 of task files\.test\.elsewhere"):
        send_task("files.test.elsewhere", [value])
    assert look_for_jobs() == 0


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_names_of_arguments(name: str) -> None:
    for task_name in (NAME, "files.test.elsewhere"):
        with pytest.raises(ArgumentError, match=f"name of an argument of task {task_name}"):
            send_task(task_name, kwargs={name: 1})
    with pytest.raises(ArgumentError):
        send_task("files.test.elsewhere", kwargs={1: 1})  # pyright: ignore[reportArgumentType]
    assert look_for_jobs() == 0


POSSIBLE = [
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    -(2**64),
    10**1000,
    0.1,
    -1.5e-300,
    5e-324,
    1.0,
    "",
    "ünï ☃ 🎉",
    "%s %(name)s %% {} \\ \\u0000 \\x00 ' \" ; --",
    "\x01\x1f\x7f\u2028\ufeff\ufffe",
    "a\nb\tc\r\n",
    "x" * 100_000,
    [],
    {},
    [[], {}, [None]],
    {"": "", "ключ": ["значение"], "%s": "%", "*": 1, "args": 2},
    {"__call__": "no call of a task"},
]


def test_values_arrive_as_they_are(define: Any, tasks: TasksManager) -> None:
    """At the first step, and at one that a job goes on with."""
    module = define("""
        got = {}

        @task
        def take(number, value, again=True):
            got.setdefault(number, []).append(value)
            if again:
                return take(number, value, again=False)
    """)
    for number, value in enumerate(POSSIBLE):
        module.take.delay(number, value)
    tasks.run_pending_jobs()
    assert len(tasks.succeeded_jobs) == len(POSSIBLE)
    for number, value in enumerate(POSSIBLE):
        assert module.got[number] == [value, value]
        assert [type(each) for each in module.got[number]] == [type(value)] * 2


LARGE = "ü" * 499_000
"""Almost as large as all arguments of a job may be, as UTF-8."""


def test_large_arguments(tasks: TasksManager) -> None:
    job = sample.anything.delay(text=LARGE)
    assert tasks.jobs[job.id]["args"] == {"text": LARGE}
    assert len(repr(sample.anything(text=LARGE))) < 500


@pytest.mark.parametrize(
    "ask",
    [
        lambda *a, **k: sample.anything(*a, **k),
        lambda *a, **k: sample.anything.delay(*a, **k),
        lambda *a, **k: sample.anything.configure(lock="x").delay(*a, **k),
        lambda *a, **k: send_task(NAME, a, k),
        lambda *a, **k: send_task("somebody.elses", a, k),
    ],
)
def test_arguments_that_are_too_large(ask: Any, tasks: TasksManager) -> None:
    """The error names the limit, and the argument that is the largest."""
    for args, kwargs, largest in (
        ((), {"small": [1] * 1000, "text": LARGE + "ü" * 999}, "argument 'text' has 1,000,000"),
        ((LARGE, LARGE), {"small": 1}, r"argument '\*' has 1,996,00\d"),
    ):
        with pytest.raises(ArgumentError) as raised:
            ask(*args, **kwargs)
        message = str(raised.value)
        assert re.search(
            r"have [12],\d{3},\d{3} bytes as JSON, a job keeps 1,000,000 at most", message
        )
        assert re.search(largest, message)
        assert len(message) < 500
    assert tasks.jobs == {}


def test_a_step_that_goes_on_with_too_much(define: Any, tasks: TasksManager) -> None:
    module = define("""
        @task
        def grow(text):
            return grow(text * 2)
    """)
    job = module.grow.delay(LARGE)
    tasks.run_pending_jobs()
    found = record.find(job.id)
    assert found
    assert (found.status, found.step) == ("failed", 0)
    assert "argument 'text' has 1,996,002" in str(found.error)


def test_tuples_become_lists(tasks: TasksManager) -> None:
    job = sample.anything.delay((1, (2, 3)), when={"a": ()})
    assert tasks.jobs[job.id]["args"] == {"*": [[1, [2, 3]]], "when": {"a": []}}


def test_large_floats_may_become_integers(define: Any, tasks: TasksManager) -> None:
    """PostgreSQL keeps all the digits of a number, and not how it was written."""
    module = define("""
        got = []

        @task
        def take(*values):
            got.extend(values)
    """)
    module.take.delay(1e15, 1e22, -0.0)
    tasks.run_pending_jobs()
    assert module.got == [1e15, 10**22, 0.0]


class Colour(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):
    YES = "yes"


def test_numbers_and_strings_of_other_classes() -> None:
    call = sample.anything(Colour.RED, Word.YES, {Word.YES: Colour.RED})
    assert repr(call) == f"{NAME}(*=[1, 'yes', {{'yes': 1}}])"


def test_later_changes_of_a_value_change_no_call() -> None:
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


def test_a_call_that_somebody_has_made_up() -> None:
    with pytest.raises(ArgumentError, match=r"argument 1 of task .* is of type object"):
        sample.anything(Call(sample.write.name, {"name": object()}))


def test_a_refusal_leaves_the_transaction(tasks: TasksManager) -> None:
    before = sample.noop.delay()
    with pytest.raises(ArgumentError):
        sample.anything.delay("\0")
    assert model.Session.execute(text("SELECT 1")).scalar() == 1
    model.Session.commit()
    assert list(tasks.jobs) == [before.id]
