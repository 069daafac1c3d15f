"""The search index waits for the commit, and nobody takes for true what it says until then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.lib import search
from ckan.tests import factories

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import document, title_in_solr

loaded = load_plugins("files", "files_test_probe")


class TaskError(Exception):
    """Raised by a task that fails."""


def _fail(*_: Any) -> None:
    raise TaskError


@pytest.fixture
def act() -> Callable[..., Any]:
    """Call an action as a sysadmin."""
    user = factories.Sysadmin()["name"]
    return lambda action, /, **data: tk.get_action(action)({"user": user}, data)


def _hold(do: Callable[[], Any], **context: Any) -> None:
    tk.get_action("probe_eager")(context, {"do": lambda _: do()})  # pyright: ignore[reportArgumentType]


def _in_database(dataset_id: str) -> dict[str, Any]:
    context: Any = {"ignore_auth": True, "use_cache": False}
    return tk.get_action("package_show")(context, {"id": dataset_id})


def _save(act: Any, dataset_id: str, **changes: Any) -> None:
    """Save what was shown, with its ``metadata_modified``, which CKAN 2.12 keeps for a sysadmin."""
    act("package_update", **{**act("package_show", id=dataset_id), **changes})


def _patch(act: Any, dataset_id: str) -> None:
    """Change another field; CKAN writes the others as it has found them."""
    act("package_patch", id=dataset_id, notes="patched")


def _title(act: Any, dataset_id: str, _group: str) -> None:
    _save(act, dataset_id, title="after")
    assert act("package_show", id=dataset_id)["title"] == "after"
    _patch(act, dataset_id)


def _there_and_back(act: Any, dataset_id: str, _group: str) -> None:
    before = act("package_show", id=dataset_id)
    act("package_update", **{**before, "title": "after"})
    act("package_update", **before)


def _private(act: Any, dataset_id: str, _group: str) -> None:
    _save(act, dataset_id, private=True)
    _patch(act, dataset_id)


def _into_a_group(act: Any, dataset_id: str, group: str) -> None:
    act("member_create", id=group, object=dataset_id, object_type="package", capacity="public")
    _patch(act, dataset_id)


def _out_of_a_group(act: Any, dataset_id: str, group: str) -> None:
    act("member_delete", id=_groups(dataset_id)[0], object=dataset_id, object_type="package")
    _patch(act, dataset_id)


def _groups(dataset_id: str) -> list[str]:
    return [group["name"] for group in _in_database(dataset_id)["groups"]]


def _by_the_group(act: Any, dataset_id: str, group: str) -> None:
    name = _in_database(dataset_id)["name"]
    act("group_update", id=group, name=group, packages=[{"id": name}])
    _patch(act, dataset_id)


def _other_organization(act: Any, dataset_id: str, _group: str) -> None:
    other = factories.Organization()["id"]
    act("package_owner_org_update", id=dataset_id, organization_id=other)
    _patch(act, dataset_id)


@pytest.mark.parametrize(
    "change",
    [
        _title,
        _there_and_back,
        _private,
        _into_a_group,
        _out_of_a_group,
        _by_the_group,
        pytest.param(
            _other_organization,
            marks=pytest.mark.skipif(CORE_FILES, reason="CKAN 2.12 itself loses that change"),
        ),
    ],
)
def test_changes_are_built_upon(act: Any, change: Any) -> None:
    """What a hold makes of several actions is what stock CKAN makes of them."""

    def outcome(run: Callable[[Callable[[], Any]], Any]) -> list[Any]:
        own, group, new = factories.Organization()["id"], factories.Group(), factories.Group()
        made = factories.Dataset(
            title="before", notes="n", owner_org=own, groups=[{"id": group["id"]}]
        )
        model.Session.remove()
        run(lambda: change(act, made["id"], new["name"]))
        model.Session.remove()
        now = _in_database(made["id"])
        in_solr = json.loads(document(made["id"]) or "{}")
        assert in_solr["title"] == now["title"]
        groups = [group["name"] in _groups(made["id"]), new["name"] in _groups(made["id"])]
        return [now["title"], now["notes"], now["private"], now["owner_org"] == own, groups]

    assert outcome(_hold) == outcome(lambda do: do())


def test_task_builds_upon_its_action(act: Any, hooks: Any) -> None:
    """A dataset that was made private stays private."""
    made = factories.Dataset(owner_org=factories.Organization()["id"], private=False)
    model.Session.remove()

    def patch(*_: Any) -> None:
        hooks.clear()
        _patch(act, made["id"])

    hooks["before:package_update"] = lambda *_: add_task(patch)
    _save(act, made["id"], private=True)
    model.Session.remove()
    now = _in_database(made["id"])
    assert (now["private"], now["notes"]) == (True, "patched")


def test_hook_builds_upon_its_action(act: Any, hooks: Any) -> None:
    """Also where there is no task, and only something to do after the commit."""
    made = factories.Dataset(title="before")
    model.Session.remove()

    def after(*_: Any) -> None:
        hooks.clear()
        _patch(act, made["id"])

    hooks["before:package_update"] = lambda *_: on_commit(lambda: None)
    hooks["after:package_update"] = after
    _save(act, made["id"], title="after")
    model.Session.remove()
    now = _in_database(made["id"])
    assert (now["title"], now["notes"]) == ("after", "patched")


@pytest.mark.skipif(CORE_FILES, reason="CKAN 2.12 patches each of the datasets instead")
@pytest.mark.parametrize("fails", [False, True])
def test_bulk_update(act: Any, fails: bool) -> None:
    """CKAN 2.11 indexes them by a class of its own, and commits to Solr at the end."""
    organization = factories.Organization()["id"]
    made = factories.Dataset(owner_org=organization, private=True)
    model.Session.remove()

    def publish() -> None:
        act("bulk_update_public", datasets=[made["id"]], org_id=organization)
        assert _found_by_everybody(made["id"]) == 0
        if fails:
            add_task(_fail)

    if fails:
        with pytest.raises(TaskError):
            _hold(publish)
    else:
        _hold(publish)
    assert _in_database(made["id"])["private"] is fails
    assert _found_by_everybody(made["id"]) == (0 if fails else 1)


def _found_by_everybody(dataset_id: str) -> int:
    context: Any = {"user": ""}
    return tk.get_action("package_search")(context, {"fq": f"id:{dataset_id}"})["count"]


@pytest.mark.parametrize("deferred", [False, True])
def test_index_by_its_name(act: Any, deferred: bool) -> None:
    """As the datastore of CKAN 2.11 and other extensions ask for it."""
    made = factories.Dataset(title="before")
    model.Session.remove()

    def rewrite() -> None:
        index = search.PackageSearchIndex()
        index.index_package({**_in_database(made["id"]), "title": "after"}, deferred)
        index.commit()
        assert title_in_solr(made["id"]) == "before"

    def rewrite_and_fail() -> None:
        rewrite()
        add_task(_fail)

    with pytest.raises(TaskError):
        _hold(rewrite_and_fail)
    assert title_in_solr(made["id"]) == "before"
    act("package_patch", id=made["id"], title="after")
    assert title_in_solr(made["id"]) == "after"


def test_deferred_rebuild(act: Any) -> None:
    made = factories.Dataset(title="before")
    model.Session.remove()

    def rebuild() -> None:
        act("package_patch", id=made["id"], title="after")
        search.rebuild(made["id"], defer_commit=True)
        search.commit()

    _hold(rebuild)
    assert title_in_solr(made["id"]) == "after"


@pytest.mark.parametrize(
    ("deed", "state", "title"),
    [
        (lambda act, id_: act("package_patch", id=id_, title="second"), "active", "second"),
        (lambda act, id_: act("package_delete", id=id_), "deleted", None),
    ],
)
def test_what_a_caller_does_after_a_deferred_commit(
    act: Any, deed: Any, state: str, title: str | None
) -> None:
    """The document that waits for the caller's commit does not replace a newer one."""
    made = factories.Dataset(title="before")
    model.Session.remove()
    _hold(lambda: act("package_patch", id=made["id"], title="first"), defer_commit=True)
    assert title_in_solr(made["id"]) == "before"
    deed(act, made["id"])
    assert look("SELECT state FROM package WHERE id = :id", id=made["id"]) == state
    assert title_in_solr(made["id"]) == title


@pytest.mark.skipif(not CORE_FILES, reason="SQLAlchemy 1.4 commits only the savepoint")
@pytest.mark.parametrize("same", [True, False])
def test_commit_within_a_savepoint_after_a_deferred_commit(act: Any, same: bool) -> None:
    """It commits both, and each dataset's document is the last one."""
    first = factories.Dataset(title="before")
    second = first if same else factories.Dataset(title="before")
    model.Session.remove()
    _hold(lambda: act("package_patch", id=first["id"], title="first"), defer_commit=True)
    model.Session.begin_nested()
    _hold(lambda: act("package_patch", id=second["id"], title="second"))
    model.Session.remove()
    for made, title in ((first, "second" if same else "first"), (second, "second")):
        assert look("SELECT title FROM package WHERE id = :id", id=made["id"]) == title
        assert title_in_solr(made["id"]) == title
