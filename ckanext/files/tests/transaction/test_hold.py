"""One commit for a block: what plugins do to the session within it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from sqlalchemy import event
from sqlalchemy.exc import ResourceClosedError

from ckanext.files.capabilities import CORE_FILES, commit_reaches_root
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.effects import Rows, count_commits, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold, nothing
from ckanext.files.tests.support.solr import document, retitle, titles
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "files_test_probe")


def dataset_exists(name: str) -> bool:
    return look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)


def end_savepoint(end: str) -> None:
    savepoint = model.Session.begin_nested()
    model.Session.execute(sa.text("SELECT 1"))
    getattr(savepoint, end)()


def in_savepoint(deed: Callable[[str], Any]) -> Callable[[str], None]:
    def do(other: str) -> None:
        with model.Session.begin_nested():
            deed(other)

    return do


AFTER = "after:package_create"

# what a plugin's hook may do in the middle of an action, given another dataset
DEEDS: dict[str, Callable[[str], Any]] = {
    "commit": lambda other: model.Session.commit(),
    "commit_and_remove": lambda other: model.repo.commit_and_remove(),
    "flush": lambda other: model.Session.flush(),
    "release_savepoint": lambda other: end_savepoint("commit"),
    "roll_back_savepoint": lambda other: end_savepoint("rollback"),
    "another_action": lambda other: retitle(other, "another"),
    "another_action_in_savepoint": in_savepoint(lambda other: retitle(other, "another")),
    "commit_in_savepoint": in_savepoint(lambda other: model.Session.commit()),
}

# ... and what it may do only after the action's own commit
LATE_DEEDS: dict[str, Callable[[str], Any]] = {
    "rollback": lambda other: model.Session.rollback(),
    "close": lambda other: model.Session.close(),
    "remove": lambda other: model.Session.remove(),
    "rollback_in_savepoint": in_savepoint(lambda other: model.Session.rollback()),
    "close_in_savepoint": in_savepoint(lambda other: model.Session.close()),
}


@pytest.mark.parametrize(
    ("deed", "place"),
    [
        *((deed, place) for deed in DEEDS for place in ("after_dataset_create", AFTER)),
        *((deed, AFTER) for deed in LATE_DEEDS),
    ],
)
def test_plugin_uses_the_session(
    deed: str, place: str, hooks: Any, rows: Rows, unique: Any, dataset: dict[str, Any]
) -> None:
    """One commit, whatever a plugin does in the middle; none when a task fails."""
    name, other = unique("dataset"), dataset["id"]

    def create(task: Callable[..., Any], row: str) -> dict[str, Any]:
        def act(*_: Any) -> None:
            hooks.clear()  # an action within would come here again
            (DEEDS | LATE_DEEDS)[deed](other)
            rows.write(row)

        hooks["before:package_create"] = lambda *_: add_task(task)
        hooks[place] = act
        return call("package_create", None, name=name, title="new")

    with pytest.raises(ProbeError):
        create(fail, "never")
    assert not rows.committed
    assert not dataset_exists(name)
    assert titles(other) == ("before", "before")

    with count_commits() as commits:
        created = create(lambda *_: rows.write("task"), "hook")
    assert len(commits) == 1
    assert rows.committed == {"hook", "task"}
    assert titles(created["id"]) == ("new", "new")
    expected = "another" if deed.startswith("another_action") else "before"
    assert titles(other) == (expected, expected)


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_plugin_rolls_the_action_back(
    undo: str, commits: bool, rows: Rows, called: list[Any]
) -> None:
    """It undoes what was not committed, as in stock CKAN."""

    def do() -> None:
        add_task(nothing)
        if commits:
            rows.write("kept")
            model.Session.commit()
        rows.write("undone")
        on_commit(lambda: called.append(1))
        getattr(model.Session, undo)()
        rows.write("after")

    in_action(do)
    model.Session.commit()
    assert rows.committed == ({"kept", "after"} if commits else {"after"})
    assert not called


@pytest.mark.parametrize("end", ["close", "remove"])
def test_objects_survive_the_end_of_the_session(end: str, dataset: dict[str, Any]) -> None:
    """Code that still holds one can read it, as in stock CKAN."""

    def do() -> None:
        add_task(nothing)
        model.Session.commit()
        package = model.Package.get(dataset["id"])
        assert package
        package.title = "changed"
        model.Session.flush()
        getattr(model.Session, end)()
        assert package not in model.Session()
        assert package.title == "changed"

    in_action(do)
    assert titles(dataset["id"]) == ("before", "before")


@pytest.mark.parametrize("deed", ["commit", "rollback", "close"])
def test_plugin_ends_the_transaction_in_after_dataset_update(
    deed: str, hooks: Any, dataset: dict[str, Any]
) -> None:
    """CKAN 2.12 cannot bear that; but then nothing of the action stays."""
    hooks["before:package_update"] = lambda *_: add_task(nothing)
    hooks["after_dataset_update"] = lambda *_: getattr(model.Session, deed)()
    with pytest.raises(ResourceClosedError) if CORE_FILES else nullcontext():
        retitle(dataset["id"], "after")
    expected = "after" if deed == "commit" and not CORE_FILES else "before"
    assert titles(dataset["id"]) == (expected, expected)
    hooks.clear()
    retitle(dataset["id"], "later")
    assert titles(dataset["id"]) == ("later", "later")


def test_many_commits_then_a_failure(rows: Rows, full_size: bool) -> None:
    """Savepoints do not pile up, and all is undone."""

    def do() -> None:
        add_task(fail)
        for number in range(1000 if full_size else 100):
            rows.write(str(number))
            model.Session.commit()
        depth, nested = 0, model.Session().get_nested_transaction()
        while nested:
            depth, nested = depth + 1, nested.parent if nested.parent.nested else None
        assert depth == 1

    with pytest.raises(ProbeError):
        in_action(do)
    assert not rows.committed


def test_inner_failure_that_is_swallowed_undoes_only_itself(
    hooks: Any, rows: Rows, unique: Any, called: list[Any]
) -> None:
    """A batch: the rows that fail leave nothing, in PostgreSQL and in Solr; the others stay."""
    names = [unique("dataset") for _ in range(4)]
    good, bad = names[::2], names[1::2]

    def queue(context: Any, data_dict: Any) -> None:
        name = data_dict["name"]
        add_task(lambda *_: rows.write(name))
        on_commit(lambda: called.append(name))
        if name in bad:
            add_task(fail)

    def do() -> None:
        for name in names:
            with pytest.raises(ProbeError) if name in bad else nullcontext():
                call("package_create", None, name=name)

    hooks["before:package_create"] = queue
    with count_commits() as commits:
        in_hold(do)
    assert len(commits) == 1
    assert called == good
    assert rows.committed == set(good)
    assert [name for name in names if dataset_exists(name)] == good
    assert [name for name in names if document(name)] == good


cannot_show = pytest.mark.skipif(
    not CORE_FILES,
    reason="CKAN 2.11 cannot create a dataset within a savepoint that is a context manager: it"
    " reads after its commit, which SQLAlchemy 1.4 refuses until the context is left",
)


@pytest.mark.parametrize("as_context", [pytest.param(True, marks=cannot_show), False])
def test_caller_has_a_savepoint_open(as_context: bool, hooks: Any, rows: Rows, unique: Any) -> None:
    """As in stock CKAN: SQLAlchemy 2.0 commits all, 1.4 leaves the commit to the caller."""
    hooks["before:package_create"] = lambda *_: add_task(lambda *_: rows.write("task"))
    with model.Session.begin_nested() if as_context else nullcontext(model.Session.begin_nested()):
        created = call("package_create", None, name=unique("dataset"), title="new")
    assert bool(rows.committed) is commit_reaches_root(model.Session())
    model.Session.commit()
    assert rows.committed == {"task"}
    assert titles(created["id"]) == ("new", "new")


@cannot_show
def test_failing_task_within_a_savepoint_of_the_caller(hooks: Any, unique: Any) -> None:
    name = unique("dataset")
    hooks["before:package_create"] = lambda *_: add_task(fail)
    with pytest.raises(ProbeError), model.Session.begin_nested():
        call("package_create", None, name=name)
    model.Session.commit()
    assert not dataset_exists(name)


@pytest.mark.parametrize("run", [in_hold, lambda do: do()], ids=["held_too", "alone"])
def test_threads_do_not_share_a_hold(run: Any, rows: Rows) -> None:
    def write_and_commit() -> None:
        rows.write("thread")
        model.Session.commit()

    def do() -> None:
        rows.write("row")
        model.Session.commit()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: (run(write_and_commit), model.Session.remove())).result()
        assert rows.committed == {"thread"}

    in_hold(do)
    assert rows.committed == {"thread", "row"}


def test_after_a_commit_that_a_listener_refused(rows: Rows) -> None:
    """Its caller goes on without a rollback: a hold begins as ever."""

    def do() -> None:
        add_task(fail)
        rows.write("row")
        model.Session.commit()

    event.listen(model.Session, "before_commit", fail)
    try:
        with pytest.raises(ProbeError):
            model.Session.commit()
    finally:
        event.remove(model.Session, "before_commit", fail)
    with pytest.raises(ProbeError):
        in_action(do)
    model.Session.remove()
    assert not rows.committed
