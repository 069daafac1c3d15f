"""A hold that begins within a savepoint which an inner action has opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import IntegrityError

from ckanext.files.shared import InnerFailureError, add_task, on_commit
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Effects, count_commits, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.transaction import Block

loaded = load_plugins("files", "files_test_probe")

Ask = Callable[[], Any]


class StepError(Exception):
    """Raised by what an action does."""


def fail(*_: Any) -> None:
    raise StepError


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
    with model.Session.begin_nested(), model.Session.begin_nested():
        ask()


def inner_rolled_back(ask: Ask) -> None:
    with model.Session.begin_nested():
        begin_and_roll_back(ask)


def outer_rolled_back(ask: Ask) -> None:
    begin_and_roll_back(lambda: in_context(ask))


SAVEPOINTS: dict[str, tuple[Callable[[Ask], None], bool]] = {
    "in_context": (in_context, True),
    "begin_and_commit": (begin_and_commit, True),
    "begin_and_roll_back": (begin_and_roll_back, False),
    "begin_only": (begin_only, True),
    "in_two": (in_two, True),
    "inner_rolled_back": (inner_rolled_back, False),
    "outer_rolled_back": (outer_rolled_back, False),
}
each_savepoint = pytest.mark.parametrize("form", SAVEPOINTS)


class Story:
    """Actions in actions; the innermost one asks within a savepoint."""

    def __init__(self, effects: Effects, name: str) -> None:
        self.effects = effects
        self.name = name
        self.called: list[str] = []

    def write(self, what: str) -> None:
        self.effects.write(f"{self.name}-{what}")

    def wrote(self, *what: str) -> list[bool]:
        return [self.effects.exists(f"{self.name}-{each}") for each in what]

    def ask(self) -> None:
        self.write("in-savepoint")
        add_task(lambda *_: self.write("task"))
        on_commit(lambda: self.called.append("callback"))

    def act(self, do: Callable[[], Any]) -> Any:
        return tk.get_action("probe")({}, {"do": lambda _: do()})

    def around(self, inner: Callable[[], Any], level: str) -> None:
        self.write(f"before-{level}")
        self.act(inner)
        self.write(f"after-{level}")


@pytest.fixture
def story(effects: Effects, unique: Any) -> Story:
    return Story(effects, unique("story"))


@each_savepoint
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_all_is_committed_together(form: str, levels: int, story: Story) -> None:
    """An action that does not commit by itself, within others that do not: it has asked."""
    in_savepoint, stays = SAVEPOINTS[form]

    def do() -> None:
        story.write("before")
        in_savepoint(story.ask)
        story.write("after")

    run: Callable[[], Any] = do
    for level in range(1, levels):
        run = (lambda inner, n: lambda: story.around(inner, str(n)))(run, level)
    with count_commits() as commits:
        story.act(run)
    assert len(commits) == 1
    assert story.wrote("before", "in-savepoint", "task", "after") == [True, stays, True, True]
    assert story.called == ["callback"] * stays
    for level in range(1, levels):
        assert story.wrote(f"before-{level}", f"after-{level}") == [True, True]


@each_savepoint
@pytest.mark.parametrize("commits", [True, False])
def test_failing_task_undoes_all(form: str, commits: bool, story: Story) -> None:
    in_savepoint, _ = SAVEPOINTS[form]

    def inner() -> None:
        in_savepoint(story.ask)
        add_task(fail)
        if commits:
            model.Session.commit()

    with pytest.raises(StepError):
        story.act(lambda: story.around(inner, "1"))
    assert not any(story.wrote("before-1", "in-savepoint", "task"))
    assert not story.called


@each_savepoint
def test_inner_action_fails_in_its_savepoint_and_is_caught(form: str, story: Story) -> None:
    """The outer one goes on, without what the inner one has done in the savepoint."""
    in_savepoint, _ = SAVEPOINTS[form]

    def ask_and_fail() -> None:
        story.ask()
        raise StepError

    def outer() -> None:
        story.write("before")
        with pytest.raises(StepError):
            story.act(lambda: in_savepoint(ask_and_fail))
        story.write("after")
        model.Session.commit()

    with count_commits() as commits:
        story.act(outer)
    assert len(commits) == 1
    assert story.wrote("before", "in-savepoint", "task", "after") == [True, False, False, True]
    assert not story.called


def test_inner_action_goes_on_after_its_savepoint_and_fails(story: Story) -> None:
    """What it did after the savepoint was rolled back is undone, too."""

    def inner() -> None:
        begin_and_roll_back(story.ask)
        story.write("inner")
        raise StepError

    def outer() -> None:
        story.write("before")
        with pytest.raises(StepError):
            story.act(inner)
        story.write("after")
        model.Session.commit()

    story.act(outer)
    assert story.wrote("before", "in-savepoint", "inner", "after") == [True, False, False, True]


@pytest.mark.parametrize("depth", [1, 2])
def test_inner_action_that_cannot_be_undone_alone(depth: int, story: Story) -> None:
    """Its savepoint is released, then it fails, and the outer one goes on: an error says so."""

    def inner() -> None:
        in_context(story.ask)
        raise StepError

    def swallow() -> None:
        story.write("outer")
        with pytest.raises(StepError):
            story.act(inner)
        story.write("later")
        model.Session.commit()

    with pytest.raises(InnerFailureError, match="eager=True") as raised:
        story.act(swallow if depth == 1 else lambda: story.around(swallow, "1"))
    assert isinstance(raised.value.__cause__, StepError)
    assert not any(story.wrote("outer", "in-savepoint", "task", "later"))
    assert not story.called
    eager = tk.get_action("probe_eager")
    eager({}, {"do": lambda _: swallow()})
    assert story.wrote("outer", "in-savepoint", "later") == [True, False, True]


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_session_ends_in_the_late_block(end: str, story: Story) -> None:
    """As in stock CKAN all is gone that was not committed; what comes later stays."""

    def inner() -> None:
        in_context(story.ask)
        getattr(model.Session, end)()
        story.write("inner")

    def outer() -> None:
        story.write("before")
        story.act(inner)
        story.write("after")
        model.Session.commit()

    with count_commits() as commits:
        story.act(outer)
    assert len(commits) == 1
    assert story.wrote("before", "in-savepoint", "inner", "after") == [False, False, True, True]
    assert not story.called


def test_savepoint_of_the_outer_action(story: Story) -> None:
    """The inner one asks, and commits nothing: the savepoint around it stays as it is."""

    def asked_and_failed() -> None:
        story.act(story.ask)
        story.write("in-outer")
        raise StepError

    def outer() -> None:
        story.write("before")
        with pytest.raises(StepError):
            in_context(asked_and_failed)
        story.write("after")
        on_commit(lambda: story.called.append("outer"))

    story.act(outer)
    assert story.wrote("before", "in-savepoint", "in-outer", "after") == [True, False, False, True]
    assert story.called == ["outer"]


def test_savepoints_between_the_levels(story: Story) -> None:
    """Each of three actions has a savepoint open; the middle one fails after the inner one."""

    def middle() -> None:
        with model.Session.begin_nested():
            story.act(lambda: in_context(story.ask))
            story.write("middle")
            raise StepError

    def outer() -> None:
        with model.Session.begin_nested():
            story.write("before")
            with pytest.raises(StepError):
                story.act(middle)
            story.write("after")

    with count_commits() as commits:
        story.act(lambda: (outer(), on_commit(lambda: story.called.append("outer"))))
    assert len(commits) == 1
    assert story.wrote("before", "in-savepoint", "middle", "after") == [True, False, False, True]
    assert story.called == ["outer"]


def test_broken_commit_of_a_late_hold(story: Story) -> None:
    def inner() -> None:
        in_context(story.ask)
        story.write("twice")
        story.write("twice")

    with pytest.raises(IntegrityError):
        story.act(lambda: story.around(inner, "1"))
    assert not any(story.wrote("before-1", "in-savepoint", "twice"))
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
    call = prepare("package_update" if action == "package_patch" else action, unique)
    if action == "package_patch":
        patch = {"id": call.package_id, "title": call.mark}
        call = call.__class__(action, patch, call.mark, call.user, call.package_id)

    def act(*_: Any) -> None:
        hooks.clear()
        if ask == "add_task":
            add_task(lambda *_: story.write("task"))
        else:
            on_commit(lambda: story.called.append("callback"))

    hooks["after_dataset_update"] = act
    with count_commits() as commits:
        story.act(call) if custom else call()
    assert len(commits) == 1
    kind = action.split("_")[0]
    column = "name" if kind == "resource" else "title"
    assert look(f"SELECT EXISTS (SELECT FROM {kind} WHERE {column} = :m)", m=call.mark)
    assert story.wrote("task") == [ask == "add_task"]
    assert story.called == ["callback"] * (ask == "on_commit")


@pytest.mark.parametrize("custom", [True, False])
def test_failing_task_of_a_hook_of_core(
    custom: bool, hooks: Any, story: Story, unique: Any
) -> None:
    call = prepare("resource_update", unique)

    def act(*_: Any) -> None:
        hooks.clear()
        add_task(fail)

    hooks["after_dataset_update"] = act
    with pytest.raises(StepError):
        story.act(call) if custom else call()
    assert not look(f"SELECT {call.is_visible}", mark=call.mark)
    hooks.clear()
    call()
    assert look(f"SELECT {call.is_visible}", mark=call.mark)


def test_blocks_without_actions(story: Story) -> None:
    """The same below the actions, with a savepoint that the caller has open."""
    with nullcontext(model.Session.begin_nested()), Block(commit=False) as outer:
        assert outer
        with Block() as inner:
            with model.Session.begin_nested():
                inner.require_commit()
                story.write("inner")
            story.write("later")
    assert not any(story.wrote("inner", "later"))
    while model.Session().get_nested_transaction():
        model.Session().get_nested_transaction().commit()  # pyright: ignore
    model.Session.commit()
    assert all(story.wrote("inner", "later"))


def test_dataset_that_is_saved_twice(hooks: Any, story: Story) -> None:
    """The hook asks in the first of two updates; the second one has a savepoint of its own."""
    dataset = factories.Dataset(title="before")

    def patch(title: str) -> None:
        tk.get_action("package_patch")({"ignore_auth": True}, {"id": dataset["id"], "title": title})

    hooks["after_dataset_update"] = lambda *_: on_commit(lambda: story.called.append("callback"))

    def do() -> None:
        patch("first")
        hooks["after_dataset_update"] = fail
        with pytest.raises(StepError):
            patch("second")

    with count_commits() as commits:
        story.act(do)
    assert len(commits) == 1
    assert look("SELECT title FROM package WHERE id = :id", id=dataset["id"]) == "first"
    assert story.called == ["callback"]


def test_hold_that_cannot_begin(effects: Effects, unique: Any) -> None:
    """To begin it writes what the session has; the action around goes on when that fails."""
    name, taken = unique("name"), factories.User()["name"]

    def inner(context: Any) -> None:
        model.Session.add(model.User(name=taken))
        add_task(fail)

    def outer(context: Any) -> None:
        with pytest.raises(IntegrityError):
            tk.get_action("probe")({}, {"do": inner})
        model.Session.rollback()
        effects.write(name)
        model.Session.commit()

    tk.get_action("probe")({}, {"do": outer})
    assert effects.exists(name)
