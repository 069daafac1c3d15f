"""A hold that begins within a savepoint which an inner action has opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import IntegrityError

from ckanext.files.shared import InnerFailureError, add_task, on_commit
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Rows, count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold
from ckanext.files.tests.support.solr import retitle, titles
from ckanext.files.transaction import Block

loaded = load_plugins("files", "files_test_probe")

Ask = Callable[[], Any]


def in_context(ask: Ask) -> None:
    with model.Session.begin_nested():
        ask()


def begin_and_commit(ask: Ask) -> None:
    savepoint = model.Session.begin_nested()
    ask()
    savepoint.commit()


def begin_and_roll_back(ask: Ask) -> None:
    savepoint = model.Session.begin_nested()
    try:
        ask()
    finally:
        savepoint.rollback()


def begin_only(ask: Ask) -> None:
    model.Session.begin_nested()
    ask()


def in_two(ask: Ask) -> None:
    in_context(lambda: in_context(ask))


def inner_rolled_back(ask: Ask) -> None:
    in_context(lambda: begin_and_roll_back(ask))


def outer_rolled_back(ask: Ask) -> None:
    begin_and_roll_back(lambda: in_context(ask))


RELEASED = [in_context, begin_and_commit, begin_only, in_two]
ROLLED_BACK = [begin_and_roll_back, inner_rolled_back, outer_rolled_back]

each_savepoint = pytest.mark.parametrize("in_savepoint", [*RELEASED, *ROLLED_BACK])


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
        """Catch the failure of something, go on, and commit."""
        self.rows.write("before")
        with pytest.raises(ProbeError):
            inner()
        self.rows.write("after")
        model.Session.commit()


@pytest.fixture
def story(rows: Rows, called: list[Any]) -> Story:
    return Story(rows, called)


@each_savepoint
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_all_is_committed_together(in_savepoint: Any, levels: int, story: Story) -> None:
    """An action that does not commit by itself, within others that do not: it has asked."""

    def innermost() -> None:
        story.rows.write("before")
        in_savepoint(story.ask)
        story.rows.write("after")

    run: Ask = innermost
    for level in range(1, levels):
        run = partial(story.around, run, level)
    with count_commits() as commits:
        in_action(run)
    assert len(commits) == 1
    around = {f"{when} {level}" for when in ("before", "after") for level in range(1, levels)}
    stays = in_savepoint in RELEASED
    asked = {"asked", "task"} if stays else {"task"}
    assert story.rows.committed == {"before", "after", *around, *asked}
    assert story.called == ["callback"] * stays


@each_savepoint
@pytest.mark.parametrize("commits", [True, False])
def test_failing_task_undoes_all(in_savepoint: Any, commits: bool, story: Story) -> None:
    def inner() -> None:
        in_savepoint(story.ask)
        add_task(fail)
        if commits:
            model.Session.commit()

    with pytest.raises(ProbeError):
        in_action(lambda: story.around(inner))
    assert not story.rows.committed
    assert not story.called


@each_savepoint
def test_inner_action_fails_in_its_savepoint_and_is_caught(in_savepoint: Any, story: Story) -> None:
    """The outer one goes on, without what the inner one has done in the savepoint."""

    def ask_and_fail() -> None:
        story.ask()
        fail()

    def inner() -> None:
        in_action(lambda: in_savepoint(ask_and_fail))

    with count_commits() as commits:
        in_action(lambda: story.around_failing(inner))
    assert len(commits) == 1
    assert story.rows.committed == {"before", "after"}
    assert not story.called


def test_inner_action_goes_on_after_its_savepoint_and_fails(story: Story) -> None:
    """What it did after the savepoint was rolled back is undone, too."""

    def inner() -> None:
        begin_and_roll_back(story.ask)
        story.rows.write("inner")
        fail()

    in_action(lambda: story.around_failing(lambda: in_action(inner)))
    assert story.rows.committed == {"before", "after"}


@pytest.mark.parametrize("depth", [1, 2])
def test_inner_action_that_cannot_be_undone_alone(depth: int, story: Story) -> None:
    """Its savepoint is released, then it fails, and the outer one goes on: an error says so."""

    def inner() -> None:
        in_context(story.ask)
        fail()

    def swallow() -> None:
        story.around_failing(lambda: in_action(inner))

    with pytest.raises(InnerFailureError, match="eager=True") as raised:
        in_action(swallow if depth == 1 else lambda: story.around(swallow))
    assert isinstance(raised.value.__cause__, ProbeError)
    assert not story.rows.committed
    assert not story.called
    in_hold(swallow)
    assert story.rows.committed == {"before", "after"}


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_session_ends_in_the_late_block(end: str, story: Story) -> None:
    """As in stock CKAN all is gone that was not committed; what comes later stays."""

    def inner() -> None:
        in_context(story.ask)
        getattr(model.Session, end)()
        story.rows.write("inner")

    def outer() -> None:
        story.around(inner)
        model.Session.commit()

    with count_commits() as commits:
        in_action(outer)
    assert len(commits) == 1
    assert story.rows.committed == {"inner", "task", "after 1"}
    assert not story.called


def test_savepoint_of_the_outer_action(story: Story) -> None:
    """The inner one asks, and commits nothing: the savepoint around it stays as it is."""

    def ask_and_fail() -> None:
        in_action(story.ask)
        story.rows.write("in outer")
        fail()

    def outer() -> None:
        story.rows.write("before")
        with pytest.raises(ProbeError):
            in_context(ask_and_fail)
        story.rows.write("after")
        on_commit(lambda: story.called.append("outer"))

    in_action(outer)
    assert story.rows.committed == {"before", "after"}
    assert story.called == ["outer"]


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

    with count_commits() as commits:
        in_action(lambda: (outer(), on_commit(lambda: story.called.append("outer"))))
    assert len(commits) == 1
    assert story.rows.committed == {"before", "after"}
    assert story.called == ["outer"]


def test_broken_commit_of_a_late_hold(story: Story) -> None:
    def inner() -> None:
        in_context(story.ask)
        story.rows.write("twice", "twice")

    with pytest.raises(IntegrityError):
        in_action(lambda: story.around(inner))
    assert not story.rows.committed
    assert not story.called


@pytest.mark.parametrize("ask", ["add_task", "on_commit"])
@pytest.mark.parametrize(
    "action", ["package_update", "package_patch", "resource_create", "resource_update"]
)
@pytest.mark.parametrize("custom", [True, False])
def test_hook_of_core(
    ask: str, action: str, custom: bool, hooks: Any, story: Story, unique: Any
) -> None:
    """CKAN 2.12 calls ``after_dataset_update`` within a savepoint of its own."""
    call = prepare(action.replace("patch", "update"), unique)
    if action == "package_patch":
        patch = {"id": call.package_id, "title": call.mark}
        call = dataclasses.replace(call, action=action, data=patch)

    def act(*_: Any) -> None:
        hooks.clear()
        if ask == "add_task":
            add_task(lambda *_: story.rows.write("task"))
        else:
            on_commit(lambda: story.called.append("callback"))

    hooks["after_dataset_update"] = act
    with count_commits() as commits:
        in_action(call) if custom else call()
    assert len(commits) == 1
    assert call.is_committed
    assert story.rows.committed == ({"task"} if ask == "add_task" else set())
    assert story.called == ["callback"] * (ask == "on_commit")


@pytest.mark.parametrize("custom", [True, False])
def test_failing_task_of_a_hook_of_core(custom: bool, hooks: Any, unique: Any) -> None:
    call = prepare("resource_update", unique)

    def act(*_: Any) -> None:
        hooks.clear()
        add_task(fail)

    hooks["after_dataset_update"] = act
    with pytest.raises(ProbeError):
        in_action(call) if custom else call()
    assert not call.is_committed
    call()
    assert call.is_committed


def test_blocks_without_actions(rows: Rows) -> None:
    """The same below the actions, with a savepoint that the caller has open."""
    model.Session.begin_nested()
    with Block(commit=False), Block() as inner:
        with model.Session.begin_nested():
            inner.require_commit()
            rows.write("inner")
        rows.write("later")
    assert not rows.committed
    while model.Session().get_nested_transaction():
        model.Session().get_nested_transaction().commit()  # pyright: ignore
    model.Session.commit()
    assert rows.committed == {"inner", "later"}


def test_dataset_that_is_saved_twice(hooks: Any, dataset: Any, called: list[Any]) -> None:
    """The hook asks in the first of two updates; the second one has a savepoint of its own."""
    hooks["after_dataset_update"] = lambda *_: on_commit(lambda: called.append("callback"))

    def do() -> None:
        retitle(dataset["id"], "first")
        hooks["after_dataset_update"] = fail
        with pytest.raises(ProbeError):
            retitle(dataset["id"], "second")

    with count_commits() as commits:
        in_action(do)
    assert len(commits) == 1
    assert titles(dataset["id"]) == ("first", "first")
    assert called == ["callback"]


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
