"""One commit for a block: what plugins do to the session within it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.lib.search import SearchIndexError
from ckan.tests import factories
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError, ResourceClosedError

from ckanext.files.capabilities import CORE_FILES, commit_reaches_root
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Effects, count_commits, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import document, title_in_solr
from ckanext.files.transaction import Block

loaded = load_plugins("files", "files_test_probe")


class TaskError(Exception):
    """Raised by a task that fails."""


def fail(*_: Any) -> None:
    raise TaskError


def nothing(*_: Any) -> None:
    """A task that only starts the hold."""


def patch(package_id: str, **fields: Any) -> Any:
    return tk.get_action("package_patch")({"ignore_auth": True}, {"id": package_id, **fields})


def title(package_id: str) -> str | None:
    return look("SELECT title FROM package WHERE id = :id", id=package_id)


def roll_back_savepoint(other: str) -> None:
    savepoint = model.Session.begin_nested()
    model.Session.execute(sa.text("SELECT 1"))
    savepoint.rollback()


def release_savepoint(other: str) -> None:
    with model.Session.begin_nested():
        model.Session.execute(sa.text("SELECT 1"))


def act_in_savepoint(other: str) -> None:
    with model.Session.begin_nested():
        patch(other, title="another")


def in_savepoint(deed: Callable[[], Any]) -> Callable[[str], None]:
    def do(other: str) -> None:
        with model.Session.begin_nested():
            deed()

    return do


AFTER = "after:package_create"

# what a plugin's hook may do in the middle of an action, given another dataset
DEEDS: dict[str, Callable[[str], Any]] = {
    "commit": lambda other: model.Session.commit(),
    "repo_commit": lambda other: model.repo.commit(),
    "commit_and_remove": lambda other: model.repo.commit_and_remove(),
    "flush": lambda other: model.Session.flush(),
    "release_savepoint": release_savepoint,
    "roll_back_savepoint": roll_back_savepoint,
    "another_action": lambda other: patch(other, title="another"),
    "another_action_in_savepoint": act_in_savepoint,
    "commit_in_savepoint": in_savepoint(lambda: model.Session.commit()),
    "repo_commit_in_savepoint": in_savepoint(lambda: model.repo.commit()),
}


# ... and what it may do only after the action's own commit
LATE_DEEDS: dict[str, Callable[[str], Any]] = {
    "rollback": lambda other: model.Session.rollback(),
    "close": lambda other: model.Session.close(),
    "remove": lambda other: model.Session.remove(),
    "rollback_in_savepoint": in_savepoint(lambda: model.Session.rollback()),
    "close_in_savepoint": in_savepoint(lambda: model.Session.close()),
}

in_the_middle = pytest.mark.parametrize(
    ("deed", "place"),
    [
        *((deed, place) for deed in DEEDS for place in ("after_dataset_create", AFTER)),
        *((deed, AFTER) for deed in LATE_DEEDS),
    ],
)


@in_the_middle
def test_plugin_uses_the_session(
    deed: str, place: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    """One commit, whatever a plugin does in the middle."""
    name = unique("dataset")
    user = factories.Sysadmin()["name"]
    other = factories.Dataset(title="before")

    def act(*_: Any) -> None:
        hooks.clear()  # an action within would come here again
        (DEEDS | LATE_DEEDS)[deed](other["id"])

    hooks["before:package_create"] = lambda *_: add_task(lambda *_: effects.write(name))
    hooks[place] = act
    with count_commits() as commits:
        created = tk.get_action("package_create")({"user": user}, {"name": name, "title": "new"})
    assert len(commits) == 1
    assert effects.exists(name)
    assert title(created["id"]) == "new" == title_in_solr(created["id"])
    if deed.startswith("another_action"):
        assert title(other["id"]) == "another" == title_in_solr(other["id"])


@in_the_middle
def test_nothing_of_it_stays_when_a_task_fails(
    deed: str, place: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    name = unique("dataset")
    other = factories.Dataset(title="before")
    user = factories.Sysadmin()["name"]

    def act(*_: Any) -> None:
        hooks.clear()
        (DEEDS | LATE_DEEDS)[deed](other["id"])
        effects.write(name)

    hooks["before:package_create"] = lambda *_: add_task(fail)
    hooks[place] = act
    with pytest.raises(TaskError):
        tk.get_action("package_create")({"user": user}, {"name": name})
    assert not effects.exists(name)
    assert not look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)
    assert title(other["id"]) == "before" == title_in_solr(other["id"])
    assert tk.get_action("package_create")({"user": user}, {"name": name})["name"] == name


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("action", ["resource_create", "resource_update"])
def test_hook_of_a_resource_changes_the_dataset_again(
    action: str, fails: bool, hooks: Any, effects: Effects, unique: Any
) -> None:
    """As extensions do that look into an uploaded file."""
    call = prepare(action, unique)
    package_id = str(call.package_id)

    def act(*_: Any) -> None:
        hooks.clear()
        patch(package_id, title=call.mark)
        model.Session.commit()

    hooks[f"before:{action}"] = lambda *_: add_task(lambda *_: effects.write(call.mark))
    hooks["before:package_update"] = lambda *_: add_task(fail if fails else nothing)
    hooks[f"after_{action}"] = act
    with count_commits() as commits, pytest.raises(TaskError) if fails else nullcontext():
        call()
    assert len(commits) == int(not fails)
    assert effects.exists(call.mark) is not fails
    assert look(f"SELECT {call.is_visible}", mark=call.mark) is not fails
    assert (title(package_id) == call.mark == title_in_solr(package_id)) is not fails
    assert title(package_id) == title_in_solr(package_id)


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_plugin_rolls_the_action_back(undo: str, hooks: Any, effects: Effects, unique: Any) -> None:
    """A hook that rolls back undoes what was not committed, as in stock CKAN."""
    name = unique("name")

    def do(context: Any) -> None:
        add_task(nothing)
        effects.write(name + "-kept")
        model.Session.commit()
        effects.write(name + "-undone")
        on_commit(lambda: effects.write(name + "-callback"))
        getattr(model.Session, undo)()
        effects.write(name + "-after")

    tk.get_action("probe")({}, {"do": do})
    model.Session.commit()
    assert effects.exists(name + "-kept")
    assert effects.exists(name + "-after")
    assert not effects.exists(name + "-undone")
    assert not effects.exists(name + "-callback")


@pytest.mark.parametrize("end", ["close", "remove"])
def test_objects_survive_the_end_of_the_session(end: str) -> None:
    """Who still holds one can read it, as in stock CKAN."""
    dataset = factories.Dataset(title="before")

    def do(context: Any) -> None:
        add_task(nothing)
        model.Session.commit()
        package = model.Package.get(dataset["id"])
        assert package
        package.title = "changed"
        model.Session.flush()
        getattr(model.Session, end)()
        assert package not in model.Session()
        assert package.title == "changed"

    tk.get_action("probe")({}, {"do": do})
    assert title(dataset["id"]) == "before"


@pytest.mark.parametrize("undo", ["rollback", "close", "remove"])
def test_rollback_before_any_commit(undo: str, effects: Effects, unique: Any) -> None:
    name = unique("name")

    def do(context: Any) -> None:
        add_task(nothing)
        effects.write(name + "-undone")
        getattr(model.Session, undo)()
        effects.write(name + "-after")

    tk.get_action("probe")({}, {"do": do})
    assert not effects.exists(name + "-undone")
    assert effects.exists(name + "-after")


@pytest.mark.parametrize("deed", ["commit", "rollback", "close"])
def test_plugin_ends_the_transaction_in_after_dataset_update(
    deed: str, hooks: Any, effects: Effects
) -> None:
    """CKAN 2.12 cannot bear that; but then nothing of the action stays."""
    dataset = factories.Dataset(title="before")
    hooks["before:package_update"] = lambda *_: add_task(nothing)
    hooks["after_dataset_update"] = lambda *_: getattr(model.Session, deed)()
    if CORE_FILES:
        with pytest.raises(ResourceClosedError):
            patch(dataset["id"], title="after")
        assert title(dataset["id"]) == "before" == title_in_solr(dataset["id"])
    else:
        patch(dataset["id"], title="after")
        assert title(dataset["id"]) == ("after" if deed == "commit" else "before")
    hooks.clear()
    patch(dataset["id"], title="later")
    assert title(dataset["id"]) == "later" == title_in_solr(dataset["id"])


def test_thousand_commits_then_a_failure(effects: Effects, unique: Any) -> None:
    """Savepoints do not pile up, and all is undone."""
    name = unique("name")

    def do(context: Any) -> None:
        add_task(fail)
        for number in range(1000):
            effects.write(f"{name}-{number}")
            model.Session.commit()
        depth, nested = 0, model.Session().get_nested_transaction()
        while nested:
            depth, nested = depth + 1, nested.parent if nested.parent.nested else None
        assert depth == 1

    with pytest.raises(TaskError):
        tk.get_action("probe")({}, {"do": do})
    assert not look(
        "SELECT count(*) FROM files_test_effect WHERE name LIKE :name", name=f"{name}-%"
    )


def test_inner_failure_that_is_swallowed_undoes_only_itself(
    hooks: Any, effects: Effects, unique: Any
) -> None:
    """A batch: the rows that fail leave nothing, in PostgreSQL and in Solr; the others stay."""
    user = factories.Sysadmin()["name"]
    names = [unique("dataset") for _ in range(4)]
    failed = []

    def queue(context: Any, data_dict: Any) -> None:
        add_task(lambda *_: effects.write(data_dict["name"]))
        on_commit(lambda: committed.append(data_dict["name"]))
        if data_dict["name"] in names[1::2]:
            add_task(fail)

    committed: list[str] = []
    hooks["before:package_create"] = queue

    def do(context: Any) -> None:
        for name in names:
            try:
                tk.get_action("package_create")({"user": user}, {"name": name})
            except TaskError:
                failed.append(name)

    with count_commits() as commits:
        tk.get_action("probe_eager")({}, {"do": do})
    assert len(commits) == 1
    assert failed == names[1::2]
    assert committed == names[::2]
    for number, name in enumerate(names):
        stays = number % 2 == 0
        assert effects.exists(name) is stays
        assert look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name) is stays
        found = tk.get_action("package_search")({"user": user}, {"fq": f"name:{name}"})
        assert found["count"] == int(stays)


def test_swallowed_failure_of_the_block_that_began_the_hold(
    hooks: Any, effects: Effects, unique: Any
) -> None:
    """The outer block goes on, without what the inner one did."""
    name = unique("dataset")
    user = factories.Sysadmin()["name"]
    hooks["before:package_create"] = lambda *_: add_task(fail)

    def do(context: Any) -> None:
        effects.write(name + "-outer")
        with pytest.raises(TaskError):
            tk.get_action("package_create")({"user": user}, {"name": name})
        effects.write(name + "-later")
        model.Session.commit()

    tk.get_action("probe")({}, {"do": do})
    assert effects.exists(name + "-outer")
    assert effects.exists(name + "-later")
    assert not look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)


def test_caller_keeps_the_commit(hooks: Any, effects: Effects, unique: Any) -> None:
    """With defer_commit nothing is committed, and all of it is with the caller's commit."""
    name, called = unique("dataset"), []
    user = factories.Sysadmin()["name"]

    def queue(*_: Any) -> None:
        add_task(lambda *_: effects.write(name))
        on_commit(lambda: called.append(1))

    hooks["before:package_create"] = queue
    with count_commits() as commits:
        tk.get_action("package_create")({"user": user, "defer_commit": True}, {"name": name})
    assert not commits
    assert not called
    assert not effects.exists(name)
    with count_commits() as commits:
        model.Session.commit()
    assert len(commits) == 1
    assert called == [1]
    assert effects.exists(name)
    assert look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)


def test_caller_keeps_the_commit_of_an_action_that_commits_all_the_same(
    effects: Effects, unique: Any
) -> None:
    """As CKAN does when the datasets of a group change."""
    name = unique("name")

    def do(context: Any) -> None:
        add_task(nothing)
        effects.write(name)
        model.Session.commit()

    with count_commits() as commits:
        tk.get_action("probe")({"defer_commit": True}, {"do": do})
    assert not commits
    assert not effects.exists(name)
    model.Session.commit()
    assert effects.exists(name)


def test_caller_keeps_the_commit_and_rolls_back(hooks: Any, effects: Effects, unique: Any) -> None:
    name, called = unique("dataset"), []
    user = factories.Sysadmin()["name"]

    def queue(*_: Any) -> None:
        add_task(lambda *_: effects.write(name))
        on_commit(lambda: called.append(1))

    hooks["before:package_create"] = queue
    tk.get_action("package_create")({"user": user, "defer_commit": True}, {"name": name})
    model.Session.rollback()
    model.Session.commit()
    assert not called
    assert not effects.exists(name)
    assert not look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)


cannot_show = pytest.mark.skipif(
    not CORE_FILES,
    reason="CKAN 2.11 cannot create a dataset within a savepoint that is a context manager: it"
    " reads after its commit, which SQLAlchemy 1.4 refuses until the context is left",
)


@pytest.mark.parametrize("as_context", [pytest.param(True, marks=cannot_show), False])
def test_caller_has_a_savepoint_open(
    as_context: bool, hooks: Any, effects: Effects, unique: Any
) -> None:
    """As in stock CKAN: SQLAlchemy 2.0 commits all, 1.4 leaves the commit to the caller."""
    name = unique("dataset")
    user = factories.Sysadmin()["name"]
    hooks["before:package_create"] = lambda *_: add_task(lambda *_: effects.write(name))
    with model.Session.begin_nested() if as_context else nullcontext(model.Session.begin_nested()):
        created = tk.get_action("package_create")({"user": user}, {"name": name, "title": "new"})
    reaches_root = commit_reaches_root(model.Session())
    assert effects.exists(name) is reaches_root
    model.Session.commit()
    assert effects.exists(name)
    assert title(created["id"]) == "new" == title_in_solr(created["id"])


@cannot_show
def test_failing_task_within_a_savepoint_of_the_caller(
    hooks: Any, effects: Effects, unique: Any
) -> None:
    name = unique("dataset")
    user = factories.Sysadmin()["name"]
    hooks["before:package_create"] = lambda *_: add_task(fail)
    with pytest.raises(TaskError), model.Session.begin_nested():
        tk.get_action("package_create")({"user": user}, {"name": name})
    model.Session.commit()
    assert not look("SELECT EXISTS (SELECT FROM package WHERE name = :name)", name=name)


def test_task_queued_after_the_actions_own_commit(
    hooks: Any, effects: Effects, unique: Any
) -> None:
    name = unique("dataset")
    user = factories.Sysadmin()["name"]
    hooks["after:package_create"] = lambda *_: add_task(lambda *_: effects.write(name))
    tk.get_action("package_create")({"user": user}, {"name": name})
    assert effects.exists(name)


def test_index_is_written_once_and_with_the_commit(hooks: Any, effects: Effects) -> None:
    """Solr tells the old until the commit, and gets one document for a dataset."""
    dataset = factories.Dataset(title="before")
    indexed = []
    hooks["before_dataset_index"] = lambda pkg_dict: indexed.append(pkg_dict["title"])

    def do(context: Any) -> None:
        patch(dataset["id"], title="between")
        patch(dataset["id"], title="after")
        assert not indexed
        assert title_in_solr(dataset["id"]) == "before"

    tk.get_action("probe_eager")({}, {"do": do})
    assert indexed == ["after"]
    assert title_in_solr(dataset["id"]) == "after" == title(dataset["id"])


@pytest.mark.skipif(
    not CORE_FILES,
    reason="CKAN 2.11 makes the document while it commits: there the session cannot be used",
)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("deed", ["commit", "rollback"])
def test_plugin_uses_the_session_while_the_document_is_made(
    deed: str, fails: bool, hooks: Any, effects: Effects, unique: Any
) -> None:
    """In ``before_dataset_index``, which runs last of all, right before the commit."""
    name = unique("name")
    dataset = factories.Dataset(title="before")

    def act(pkg_dict: dict[str, Any]) -> None:
        hooks.clear()
        effects.write(name + "-index")
        getattr(model.Session, deed)()
        if fails:
            raise TaskError

    def queue(*_: Any) -> None:
        add_task(lambda *_: effects.write(name))
        hooks["before_dataset_index"] = act

    hooks["before:package_update"] = queue
    with pytest.raises(TaskError) if fails else nullcontext():
        patch(dataset["id"], title="after")
    assert effects.exists(name) is not fails
    assert effects.exists(name + "-index") is (deed == "commit" and not fails)
    expected = "before" if fails else "after"
    assert title(dataset["id"]) == expected == title_in_solr(dataset["id"])


@pytest.mark.parametrize("action", ["package_create", "resource_create", "resource_update"])
def test_plugins_are_told_of_changes_with_the_commit_only(
    action: str, hooks: Any, effects: Effects, unique: Any
) -> None:
    """Of the same as in stock CKAN, but once, after the tasks, and never of what failed."""
    told: list[tuple[str, Any]] = []
    tasks: list[str] = []

    def notify(entity: Any, operation: Any) -> None:
        told.append((type(entity).__name__, operation))
        assert entity.id
        assert entity in model.Session()
        tasks.append("told")

    def run(*queued: Any) -> set[tuple[str, Any]]:
        told.clear()
        tasks.clear()
        call = prepare(action, unique)
        hooks["notify"] = notify
        hooks[f"before:{action}"] = lambda *_: [add_task(task) for task in queued]
        try:
            call()
        finally:
            hooks.clear()
        return set(told)

    stock = run()
    assert stock
    held = run(lambda *_: tasks.append("task"), lambda *_: model.Session.commit())
    assert held == stock
    assert len(told) == len(held)
    assert tasks == ["task", *["told"] * len(told)]
    with pytest.raises(TaskError):
        run(fail)
    assert not told


@pytest.mark.skipif(
    not CORE_FILES, reason="CKAN 2.11 makes the document with the commit, from the database"
)
def test_task_that_changes_the_result_does_not_change_the_document(hooks: Any) -> None:
    dataset = factories.Dataset(title="before")

    def task(result: Any, *_: Any) -> None:
        result["title"] = "changed by the task"
        result["tags"].append({"name": "x", "vocabulary_id": None})

    hooks["before:package_update"] = lambda *_: add_task(task)
    answer = patch(dataset["id"], title="after")
    assert answer["title"] == "changed by the task"
    found = json.loads(str(document(dataset["id"])))
    assert (found["title"], found["tags"]) == ("after", [])


def test_solr_refuses_the_document(hooks: Any, effects: Effects, unique: Any) -> None:
    """Nothing stays, also of the documents that Solr had taken."""
    name = unique("name")
    first, second = factories.Dataset(title="before"), factories.Dataset(title="before")

    def spoil(pkg_dict: dict[str, Any]) -> None:
        if pkg_dict["id"] == second["id"] and pkg_dict["title"] == "after":
            pkg_dict["metadata_created"] = "no date at all"

    def do(context: Any) -> None:
        add_task(lambda *_: effects.write(name))
        patch(first["id"], title="after")
        hooks["before_dataset_index"] = spoil
        patch(second["id"], title="after")

    with pytest.raises(SearchIndexError):
        tk.get_action("probe_eager")({}, {"do": do})
    hooks.clear()
    assert not effects.exists(name)
    assert title(first["id"]) == title(second["id"]) == "before"
    assert title_in_solr(first["id"]) == title_in_solr(second["id"]) == "before"
    patch(second["id"], title="later")
    assert title(second["id"]) == "later" == title_in_solr(second["id"])


def test_failing_commit_repairs_the_index(hooks: Any, effects: Effects, unique: Any) -> None:
    name = unique("name")
    changed = factories.Dataset(title="before")
    user = factories.Sysadmin()["name"]
    created = {}

    def write_twice(*_: Any) -> None:
        effects.write(name)
        effects.write(name)

    def do(context: Any) -> None:
        add_task(write_twice)
        patch(changed["id"], title="after")
        created.update(tk.get_action("package_create")({"user": user}, {"name": unique("new")}))

    with pytest.raises(IntegrityError):
        tk.get_action("probe")({}, {"do": do})
    assert title(changed["id"]) == "before" == title_in_solr(changed["id"])
    assert title_in_solr(created["id"]) is None


@pytest.mark.parametrize("held_too", [False, True])
def test_threads_do_not_share_a_hold(held_too: bool, effects: Effects, unique: Any) -> None:
    """Another thread commits by itself while this one holds."""
    name = unique("name")

    def in_thread() -> None:
        if held_too:
            tk.get_action("probe_eager")(
                {}, {"do": lambda _: (effects.write(name + "-thread"), model.Session.commit())}
            )
        else:
            effects.write(name + "-thread")
            model.Session.commit()
        model.Session.remove()

    def do(context: Any) -> None:
        effects.write(name)
        model.Session.commit()
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        assert effects.exists(name + "-thread")
        assert not effects.exists(name)

    tk.get_action("probe_eager")({}, {"do": do})
    assert effects.exists(name)


def test_connection_is_lost_in_a_task(hooks: Any, effects: Effects, unique: Any) -> None:
    dataset = factories.Dataset(title="before")

    def lose_connection(*_: Any) -> None:
        pid = model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        look("SELECT pg_terminate_backend(:pid)", pid=pid)
        model.Session.execute(sa.text("SELECT 1"))

    hooks["before:package_update"] = lambda *_: add_task(lose_connection)
    with pytest.raises(OperationalError):
        patch(dataset["id"], title="after")
    assert title(dataset["id"]) == "before" == title_in_solr(dataset["id"])
    hooks.clear()
    patch(dataset["id"], title="later")
    assert title(dataset["id"]) == "later" == title_in_solr(dataset["id"])


def write_commit_and_fail(block: Block, name: str, effects: Effects) -> None:
    with block:
        effects.write(name)
        model.Session.commit()
        raise TaskError


def test_block_without_hold_is_stock(effects: Effects, unique: Any) -> None:
    name = unique("name")
    with pytest.raises(TaskError):
        write_commit_and_fail(Block(), name, effects)
    assert effects.exists(name)


def test_eager_block_undoes_its_commits(effects: Effects, unique: Any) -> None:
    name = unique("name")
    with pytest.raises(TaskError):
        write_commit_and_fail(Block(eager=True), name, effects)
    assert not effects.exists(name)


def test_no_connection_stays_checked_out(hooks: Any, effects: Effects) -> None:
    dataset = factories.Dataset(title="before")
    model.Session.remove()
    before = engine().pool.checkedout()  # pyright: ignore[reportAttributeAccessIssue]
    hooks["before:package_update"] = lambda *_: add_task(nothing)
    patch(dataset["id"], title="after")
    hooks["before:package_update"] = lambda *_: add_task(fail)
    with pytest.raises(TaskError):
        patch(dataset["id"], title="later")
    model.Session.remove()
    assert engine().pool.checkedout() == before  # pyright: ignore[reportAttributeAccessIssue]


def test_after_a_commit_that_a_listener_refused(effects: Effects, unique: Any) -> None:
    """Its caller goes on without a rollback: a hold begins as ever."""
    name = unique("name")

    def refuse(_: Any) -> None:
        raise TaskError

    def do(context: Any) -> None:
        add_task(fail)
        effects.write(name)
        model.Session.commit()

    event.listen(model.Session, "before_commit", refuse)
    try:
        with pytest.raises(TaskError):
            model.Session.commit()
    finally:
        event.remove(model.Session, "before_commit", refuse)
    with pytest.raises(TaskError):
        tk.get_action("probe")({}, {"do": do})
    model.Session.remove()
    assert not effects.exists(name)
