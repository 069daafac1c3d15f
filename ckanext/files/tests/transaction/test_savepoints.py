"""Savepoints of other code, in actions within actions: what stays and what is undone."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import IntegrityError

from ckanext.files.shared import InnerFailureError, add_task, on_commit
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Effects, Rows, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold, nothing
from ckanext.files.transaction import Block, is_commit_requested

loaded = load_plugins("files", "files_test_probe")

Ask = Callable[[], Any]


def in_context(ask: Ask) -> None:
    with model.Session.begin_nested():
        ask()


def roll_back(ask: Ask) -> None:
    savepoint = model.Session.begin_nested()
    try:
        ask()
    finally:
        savepoint.rollback()


SAVEPOINTS: dict[str, Callable[[Ask], Any]] = {
    "released": in_context,
    "left open": lambda ask: (model.Session.begin_nested(), ask()),
    "two": lambda ask: in_context(lambda: in_context(ask)),
    "rolled back": roll_back,
    "inner rolled back": lambda ask: in_context(lambda: roll_back(ask)),
    "outer rolled back": lambda ask: roll_back(lambda: in_context(ask)),
}

each_savepoint = pytest.mark.parametrize("kind", SAVEPOINTS)


@dataclasses.dataclass
class Story:
    """What actions in actions write; the innermost one asks within a savepoint."""

    rows: Rows
    called: list[Any]

    def ask(self) -> None:
        """Write, and ask for a task and a callback."""
        self.rows.write("asked")
        add_task(lambda *_: self.rows.write("task"))
        on_commit(lambda: self.called.append("callback"))

    def around(self, inner: Ask, level: int = 1) -> None:
        """Write before and after an inner action."""
        self.rows.write(f"before {level}")
        in_action(inner)
        self.rows.write(f"after {level}")

    def around_failing(self, inner: Ask) -> None:
        """Go on after the failure of an inner action, and commit."""
        self.rows.write("before")
        with pytest.raises(ProbeError):
            in_action(inner)
        self.rows.write("after")
        model.Session.commit()


@pytest.fixture
def story(rows: Rows, called: list[Any]) -> Story:
    return Story(rows, called)


@each_savepoint
@pytest.mark.parametrize("levels", [1, 3])
def test_all_is_committed_together(kind: str, levels: int, story: Story) -> None:
    """An action that does not commit by itself, within others that do not: it has asked."""

    def innermost(*tasks: Any) -> None:
        story.rows.write("before 0")
        SAVEPOINTS[kind](story.ask)
        story.rows.write("after 0")
        for task in tasks:
            add_task(task)

    def run(*tasks: Any) -> None:
        do: Ask = partial(innermost, *tasks)
        for level in range(1, levels):
            do = partial(story.around, do, level)
        in_action(do)

    with pytest.raises(ProbeError):
        run(fail)
    assert not story.rows.committed
    assert not story.called
    with count_commits() as commits:
        run()
    assert len(commits) == 1
    around = {f"{when} {level}" for when in ("before", "after") for level in range(levels)}
    is_undone = kind.endswith("rolled back")
    assert story.rows.committed == around | ({"task"} if is_undone else {"asked", "task"})
    assert story.called == ([] if is_undone else ["callback"])


@each_savepoint
def test_inner_action_fails_in_its_savepoint_and_is_caught(kind: str, story: Story) -> None:
    """The outer one goes on, without what the inner one has done in the savepoint."""

    def inner() -> None:
        SAVEPOINTS[kind](lambda: (story.ask(), fail()))

    with count_commits() as commits:
        in_action(lambda: story.around_failing(inner))
    assert len(commits) == 1
    assert story.rows.committed == {"before", "after"}
    assert not story.called


@pytest.mark.parametrize("savepoint", [True, False])
def test_inner_action_fails_out_of_a_savepoint(savepoint: bool, story: Story) -> None:
    """What it did since it asked, or since its savepoint was rolled back, is undone."""

    def inner() -> None:
        roll_back(story.ask) if savepoint else add_task(nothing)
        story.rows.write("inner")
        fail()

    in_action(lambda: story.around_failing(inner))
    assert story.rows.committed == {"before", "after"}


@pytest.mark.parametrize("depth", [1, 2])
def test_inner_action_that_cannot_be_undone_alone(depth: int, story: Story) -> None:
    """Its savepoint is released, then it fails, and the outer one goes on: an error says so."""

    def swallow() -> None:
        story.around_failing(lambda: (in_context(story.ask), fail()))

    with pytest.raises(InnerFailureError, match="eager=True") as raised:
        in_action(swallow if depth == 1 else lambda: story.around(swallow))
    assert isinstance(raised.value.__cause__, ProbeError)
    assert not story.rows.committed
    assert not story.called
    in_hold(swallow)
    assert story.rows.committed == {"before", "after"}


def test_task_of_an_action_that_cannot_be_undone_alone(story: Story) -> None:
    """It leaves no savepoint open above its caller's: SQLAlchemy 1.4 would warn of one."""

    def outer() -> None:
        with pytest.raises(ProbeError):
            in_action(lambda: (in_context(story.ask), add_task(fail)))
        in_action(lambda: in_action(story.ask))

    with pytest.raises(InnerFailureError):
        in_action(lambda: roll_back(outer))
    assert not story.rows.committed


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_session_ends_after_the_savepoint(end: str, story: Story) -> None:
    """As in stock CKAN all is gone that was not committed; what comes later stays."""

    def inner() -> None:
        in_context(story.ask)
        getattr(model.Session, end)()
        story.rows.write("inner")

    with count_commits() as commits:
        in_action(lambda: (story.around(inner), model.Session.commit()))
    assert len(commits) == 1
    assert story.rows.committed == {"inner", "task", "after 1"}
    assert not story.called


def test_savepoints_between_the_levels(story: Story) -> None:
    """Each of three actions has a savepoint open; the middle one fails after the inner one."""

    def middle() -> None:
        with model.Session.begin_nested():
            in_action(lambda: in_context(story.ask))
            story.rows.write("middle")
            fail()

    def outer() -> None:
        with model.Session.begin_nested():
            story.rows.write("before")
            with pytest.raises(ProbeError):
                in_action(middle)
            story.rows.write("after")
        on_commit(lambda: story.called.append("outer"))

    with count_commits() as commits:
        in_action(outer)
    assert len(commits) == 1
    assert story.rows.committed == {"before", "after"}
    assert story.called == ["outer"]


@pytest.mark.parametrize(
    "action", ["package_update", "package_patch", "resource_create", "resource_update"]
)
@pytest.mark.parametrize("custom", [True, False])
def test_hook_of_core(action: str, custom: bool, hooks: Any, story: Story, unique: Any) -> None:
    """CKAN 2.12 calls ``after_dataset_update`` within a savepoint of its own."""
    call = prepare(action.replace("patch", "update"), unique)
    if action == "package_patch":
        patch = {"id": call.package_id, "title": call.mark}
        call = dataclasses.replace(call, action=action, data=patch)

    def run(act: Ask) -> None:
        hooks["after_dataset_update"] = lambda *_: (hooks.clear(), act())
        in_action(call) if custom else call()

    with pytest.raises(ProbeError):
        run(lambda: add_task(fail))
    assert not call.is_committed
    with count_commits() as commits:
        run(story.ask)
    assert len(commits) == 1
    assert call.is_committed
    assert story.rows.committed == {"asked", "task"}
    assert story.called == ["callback"]


def test_blocks_in_a_savepoint_of_the_caller(rows: Rows) -> None:
    """The caller has kept the commit, so its savepoint stays open, too."""
    caller = model.Session.begin_nested()
    with Block(commit=False), Block() as inner:
        with model.Session.begin_nested():
            inner.require_commit()
            rows.write("inner")
        rows.write("later")
    assert model.Session().get_nested_transaction() is caller
    caller.commit()
    assert not rows.committed
    model.Session.commit()
    assert rows.committed == {"inner", "later"}


def test_hold_that_cannot_begin(rows: Rows) -> None:
    """To begin it writes what the session has; the action around goes on when that fails."""
    taken = factories.User()["name"]

    def inner() -> None:
        model.Session.add(model.User(name=taken))
        add_task(fail)

    def outer() -> None:
        with pytest.raises(IntegrityError):
            in_action(inner)
        model.Session.rollback()
        rows.write("row")
        model.Session.commit()

    in_action(outer)
    assert rows.committed == {"row"}


class Program:
    """Random actions in actions, with savepoints, commits and failures."""

    def __init__(self, seed: int, rows: Rows) -> None:
        self.random = random.Random(seed)
        self.rows = rows
        self.number = 0
        self.asked: set[str] = set()
        self.called: set[str] = set()
        self.trace: list[str] = []
        often = [self.ask, self.act, self.in_savepoint]
        rare = [self.queue, self.write, self.act_and_catch, self.in_undone_savepoint, self.fail]
        self.steps_in_savepoint: list[Callable[[int], Any]] = [*often, *often, *rare]
        self.steps = [*self.steps_in_savepoint, self.commit, self.roll_back]

    def run(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            step = self.random.choice(self.steps)
            self.trace.append("  " * (4 - depth) + step.__name__)
            step(depth)

    def write(self, depth: int) -> None:
        self.number += 1
        self.rows.write(str(self.number))

    def ask(self, depth: int) -> None:
        # ask first: what was written before the hold began is not undone with an inner action
        name = str(self.number + 1)
        on_commit(lambda: self.called.add(name))
        self.write(depth)
        self.asked.add(name)

    def queue(self, depth: int) -> None:
        add_task(fail if self.random.random() < 0.1 else lambda *_: self.ask(depth))

    def commit(self, depth: int) -> None:
        model.Session.commit()

    def roll_back(self, depth: int) -> None:
        model.Session.rollback()

    def fail(self, depth: int) -> None:
        fail()

    def act(self, depth: int) -> None:
        if depth:
            probe = self.random.choice(["probe", "probe", "probe_eager"])
            in_action(lambda: self.run(depth - 1), probe)

    def act_and_catch(self, depth: int) -> None:
        with suppress(ProbeError):
            self.act(depth)

    def in_savepoint(self, depth: int, *, release: bool = True) -> None:
        """As code does that uses it right: only this ends the savepoint or the transaction."""
        if not depth:
            return
        savepoint, steps = model.Session.begin_nested(), self.steps
        self.steps = self.steps_in_savepoint
        try:
            self.run(depth - 1)
        except BaseException:
            release = False
            raise
        finally:
            self.steps = steps
            if savepoint.is_active:
                savepoint.commit() if release else savepoint.rollback()

    def in_undone_savepoint(self, depth: int) -> None:
        self.in_savepoint(depth, release=False)


@pytest.mark.parametrize("block", range(10))
def test_row_and_callback_agree(block: int, effects: Effects, unique: Any, full_size: bool) -> None:
    for number in range(1000 if full_size else 60):
        seed = block * 1000 + number
        program = Program(seed, Rows(unique("row")))
        failed: Exception | None = None
        try:
            program.act(4)
        except (ProbeError, InnerFailureError) as error:
            failed = error
        except Exception as error:
            raise AssertionError(f"seed {seed}\n" + "\n".join(program.trace)) from error
        text = f"seed {seed}, {failed!r}\n" + "\n".join(program.trace)
        there = program.rows.committed & program.asked
        assert there == program.called, text
        if failed is None:
            assert not is_commit_requested(model.Session()), text
        else:
            assert not there, text
        model.Session.remove()
