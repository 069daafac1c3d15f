"""The search index waits for the commit, and CKAN reads nothing old from it until then."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from ckan import model
from ckan.lib import search
from ckan.tests import factories

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.core_actions import prepare
from ckanext.files.tests.support.effects import Rows, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_action, in_hold, nothing
from ckanext.files.tests.support.solr import (
    announced,
    document,
    intents,
    retitle,
    title_in_solr,
    titles,
)
from ckanext.files.tests.support.users import call, shown, site_user

loaded = load_plugins("files", "files_test_probe")

in_core_2_12 = pytest.mark.skipif(
    not CORE_FILES, reason="CKAN 2.11 makes the document while it commits, from the database"
)


def test_index_is_written_once_and_with_the_commit(hooks: Any, dataset: dict[str, Any]) -> None:
    """Solr has the old until the commit, and gets one document for a dataset."""
    indexed = []
    hooks["before_dataset_index"] = lambda pkg_dict: indexed.append(pkg_dict["title"])

    def do() -> None:
        retitle(dataset["id"], "between")
        retitle(dataset["id"], "after")
        assert not indexed
        assert title_in_solr(dataset["id"]) == "before"

    in_hold(do)
    assert indexed == ["after"]
    assert titles(dataset["id"]) == ("after", "after")


@in_core_2_12
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("deed", ["commit", "rollback", "remove"])
def test_plugin_uses_the_session_while_the_document_is_made(
    deed: str, fails: bool, hooks: Any, rows: Rows, dataset: dict[str, Any]
) -> None:
    """In ``before_dataset_index``, which runs last of all, right before the commit."""

    def act(pkg_dict: dict[str, Any]) -> None:
        hooks.clear()
        rows.write("index")
        getattr(model.Session, deed)()
        assert (announced(), intents()) == ([dataset["id"]], [])  # the intent stays locked
        if fails:
            fail()

    def queue(*_: Any) -> None:
        add_task(lambda *_: rows.write("task"))
        hooks["before_dataset_index"] = act

    hooks["before:package_update"] = queue
    with pytest.raises(ProbeError) if fails else nullcontext():
        retitle(dataset["id"], "after")
    committed = {"task", "index"} if deed == "commit" else {"task"}
    assert rows.committed == (set() if fails else committed)
    expected = "before" if fails else "after"
    assert titles(dataset["id"]) == (expected, expected)


@pytest.mark.parametrize("action", ["package_create", "resource_create", "resource_update"])
def test_plugins_are_notified_of_changes_with_the_commit_only(
    action: str, hooks: Any, unique: Any
) -> None:
    """Of the same as in stock CKAN, but once, after the tasks, and never of what failed."""
    seen: list[Any] = []

    def notify(entity: Any, operation: Any) -> None:
        assert entity.id
        assert entity in model.Session()
        seen.append((type(entity).__name__, operation))

    def run(*tasks: Any) -> list[Any]:
        seen.clear()
        act = prepare(action, unique)
        hooks["notify"] = notify
        hooks[f"before:{action}"] = lambda *_: [add_task(task) for task in tasks]
        with pytest.raises(ProbeError) if fail in tasks else nullcontext():
            act()
        hooks.clear()
        return seen.copy()

    stock = run()
    assert stock
    task, *held = run(lambda *_: seen.append("task"), lambda *_: model.Session.commit())
    assert task == "task"
    assert set(held) == set(stock)
    assert len(held) == len(set(held))
    assert not run(fail)


def test_plugins_are_notified_of_changes_before_and_after_an_inner_action(hooks: Any) -> None:
    """The savepoint of that one sets the earlier changes aside, and no savepoint the later ones."""
    first, second = (factories.Dataset()["id"] for _ in range(2))
    seen: set[str] = set()

    def change(package_id: str) -> None:
        package = model.Package.get(package_id)
        assert package
        package.title = "after"
        model.Session.flush()

    def do() -> None:
        on_commit(nothing)
        change(first)
        in_action(nothing)
        change(second)

    hooks["notify"] = lambda entity, _: seen.add(entity.id)
    in_hold(do)
    assert seen == {first, second}


@in_core_2_12
def test_task_that_changes_the_result_does_not_change_the_document(
    hooks: Any, dataset: dict[str, Any]
) -> None:
    def task(result: Any, *_: Any) -> None:
        result["title"] = "changed by the task"
        result["tags"].append({"name": "x", "vocabulary_id": None})

    hooks["before:package_update"] = lambda *_: add_task(task)
    assert retitle(dataset["id"], "after")["title"] == "changed by the task"
    found = json.loads(str(document(dataset["id"])))
    assert (found["title"], found["tags"]) == ("after", [])


def test_solr_refuses_the_document(hooks: Any, rows: Rows, dataset: dict[str, Any]) -> None:
    """Nothing stays, also of the documents that Solr had taken."""
    first, second = dataset["id"], factories.Dataset(title="before")["id"]

    def spoil(pkg_dict: dict[str, Any]) -> None:
        if pkg_dict["id"] == second and pkg_dict["title"] == "after":
            pkg_dict["metadata_created"] = "no date at all"

    def do() -> None:
        add_task(lambda *_: rows.write("task"))
        retitle(first, "after")
        hooks["before_dataset_index"] = spoil
        retitle(second, "after")

    with pytest.raises(search.SearchIndexError):
        in_hold(do)
    hooks.clear()
    assert not rows.committed
    assert titles(first) == titles(second) == ("before", "before")
    retitle(second, "later")
    assert titles(second) == ("later", "later")


def _save(dataset_id: str, **changes: Any) -> None:
    """Save what was shown, with its ``metadata_modified``, which CKAN 2.12 keeps for a sysadmin."""
    now = call("package_show", site_user(), id=dataset_id)
    call("package_update", site_user(), **{**now, **changes})


def _patch(dataset_id: str) -> None:
    """Change another field; CKAN writes the others as it has found them."""
    call("package_patch", site_user(), id=dataset_id, notes="patched")


def _into_the_group(dataset_id: str, group: str) -> None:
    member = {"object": dataset_id, "object_type": "package", "capacity": "public"}
    call("member_create", site_user(), id=group, **member)


def _by_the_group(dataset_id: str, group: str) -> None:
    packages = [{"id": shown(dataset_id)["name"]}]
    call("group_update", site_user(), id=group, name=group, packages=packages)


CHANGES: dict[str, Callable[[str, str], Any]] = {
    "title": lambda dataset, _: _save(dataset, title="after"),
    "private": lambda dataset, _: _save(dataset, private=True),
    "into a group": _into_the_group,
    "by the group": _by_the_group,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_built_upon(change: str) -> None:
    """What a hold makes of several actions is what stock CKAN makes of them."""
    organization = factories.Organization()["id"]
    group, new = factories.Group(), factories.Group()
    data = {"title": "before", "owner_org": organization, "groups": [{"id": group["id"]}]}

    def outcome(run: Callable[[Callable[[], Any]], Any]) -> list[Any]:
        made = factories.Dataset(**data)
        model.Session.remove()
        run(lambda: (CHANGES[change](made["id"], new["name"]), _patch(made["id"])))
        model.Session.remove()
        now = shown(made["id"])
        assert title_in_solr(made["id"]) == now["title"]
        groups = {group["name"] for group in now["groups"]}
        return [now["title"], now["notes"], now["private"], groups]

    assert outcome(in_hold) == outcome(lambda do: do())


@pytest.mark.parametrize("by", ["task", "hook"])
def test_task_or_hook_builds_upon_its_action(by: str, hooks: Any, dataset: dict[str, Any]) -> None:
    def patch(*_: Any) -> None:
        hooks.clear()
        _patch(dataset["id"])

    if by == "task":
        hooks["before:package_update"] = lambda *_: add_task(patch)
    else:
        hooks["before:package_update"] = lambda *_: on_commit(nothing)
        hooks["after:package_update"] = patch
    _save(dataset["id"], title="after")
    model.Session.remove()
    now = shown(dataset["id"])
    assert (now["title"], now["notes"]) == ("after", "patched")


def _found_by_a_visitor(dataset_id: str) -> int:
    return call("package_search", "", fq=f"id:{dataset_id}")["count"]


@pytest.mark.skipif(CORE_FILES, reason="CKAN 2.12 patches each of the datasets instead")
@pytest.mark.parametrize("fails", [False, True])
def test_bulk_update(fails: bool) -> None:
    """CKAN 2.11 indexes them by a class of its own, and commits to Solr at the end."""
    organization = factories.Organization()["id"]
    made = factories.Dataset(owner_org=organization, private=True)
    model.Session.remove()

    def publish() -> None:
        call("bulk_update_public", None, datasets=[made["id"]], org_id=organization)
        assert _found_by_a_visitor(made["id"]) == 0
        if fails:
            add_task(fail)

    with pytest.raises(ProbeError) if fails else nullcontext():
        in_hold(publish)
    assert shown(made["id"])["private"] is fails
    assert _found_by_a_visitor(made["id"]) == int(not fails)


@pytest.mark.parametrize("deferred", [False, True])
def test_index_by_its_name(deferred: bool, dataset: dict[str, Any]) -> None:
    """As the datastore of CKAN 2.11 and other extensions ask for it."""

    def rewrite() -> None:
        index = search.PackageSearchIndex()
        index.index_package({**shown(dataset["id"]), "title": "after"}, deferred)
        index.commit()
        assert title_in_solr(dataset["id"]) == "before"

    with pytest.raises(ProbeError):
        in_hold(lambda: (rewrite(), add_task(fail)))
    assert title_in_solr(dataset["id"]) == "before"
    rebuild = partial(search.rebuild, dataset["id"], defer_commit=deferred)
    in_hold(lambda: (retitle(dataset["id"], "after"), rebuild()))
    assert title_in_solr(dataset["id"]) == "after"


@pytest.mark.parametrize("deletes", [False, True])
def test_what_a_caller_does_after_a_deferred_commit(deletes: bool, dataset: dict[str, Any]) -> None:
    """The document that waits for the caller's commit does not replace a newer one."""
    in_hold(lambda: retitle(dataset["id"], "first"), defer_commit=True)
    assert title_in_solr(dataset["id"]) == "before"
    if deletes:
        call("package_delete", None, id=dataset["id"])
        assert look("SELECT state FROM package WHERE id = :id", id=dataset["id"]) == "deleted"
        assert document(dataset["id"]) is None
    else:
        retitle(dataset["id"], "second")
        assert titles(dataset["id"]) == ("second", "second")


@pytest.mark.skipif(not CORE_FILES, reason="SQLAlchemy 1.4 commits only the savepoint")
@pytest.mark.parametrize("same", [True, False])
def test_commit_within_a_savepoint_after_a_deferred_commit(
    same: bool, dataset: dict[str, Any]
) -> None:
    """It commits both, and each dataset's document is the last one."""
    first = dataset["id"]
    second = first if same else factories.Dataset(title="before")["id"]
    in_hold(lambda: retitle(first, "first"), defer_commit=True)
    model.Session.begin_nested()
    in_hold(lambda: retitle(second, "second"))
    assert titles(second) == ("second", "second")
    if not same:
        assert titles(first) == ("first", "first")
