"""What a killed process has left in Solr is put right, and nothing newer is overwritten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config
from ckan.lib import search
from ckan.tests import factories

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.crash import die_between_solr_and_commit as die
from ckanext.files.tests.support.crash import fork, kill_at_the_commit, was_killed
from ckanext.files.tests.support.effects import at_each_commit, change, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_hold, nothing
from ckanext.files.tests.support.solr import (
    document,
    intents,
    look_now,
    retitle,
    solr_away,
    title_in_solr,
)
from ckanext.files.tests.support.users import call, shown
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction import index_repair

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def dead(dataset: dict[str, Any]) -> str:
    """The id of a dataset whose title a process was about to change when it was killed."""
    die(lambda: retitle(dataset["id"], "never"))
    return dataset["id"]


def create(name: str) -> None:
    call("package_create", None, name=name)


def index(pkg_dict: dict[str, Any], **changes: Any) -> None:
    """Let a document arrive in Solr that a dead process has sent."""
    stale = {**pkg_dict, **changes}
    both = {**stale, "with_custom_schema": dict(stale)} if CORE_FILES else stale
    search.index_for("package").update_dict(both)


def test_created(unique: Any) -> None:
    """No document stays of a dataset that never was, of which CKAN's own command knows nothing."""
    name = unique("never")
    die(lambda: create(name))
    assert document(name)
    with pytest.raises(tk.ObjectNotFound):
        search.rebuild(name)
    [(package_id, _)] = intents()
    look_now()
    assert document(name) is None
    index(factories.Dataset(), id=package_id, name=name)  # it arrives late
    assert document(name)
    look_now()
    assert document(name) is None


@pytest.mark.skipif(not CORE_FILES, reason="CKAN 2.11 calls the hook within its own commit")
def test_hold_that_begins_while_solr_is_asked(dataset: dict[str, Any], hooks: Any) -> None:
    """A hook that makes the document asks for a callback."""

    def run() -> None:
        hooks["before_dataset_index"] = lambda _: on_commit(nothing)
        kill_at_the_commit()
        retitle(dataset["id"], "never")

    assert was_killed(fork(run))
    wait_for_the_dead()
    assert title_in_solr(dataset["id"]) == "never"
    assert intents() == [(dataset["id"], 0)]
    look_now()
    assert title_in_solr(dataset["id"]) == "before"


def test_several(dataset: dict[str, Any], unique: Any) -> None:
    name, removed = unique("never"), [factories.Dataset(title="old")["id"] for _ in range(2)]

    def change_all() -> None:
        create(name)
        retitle(dataset["id"], "never")
        call("package_patch", None, id=dataset["id"], notes="one intent for both changes")
        call("package_delete", None, id=removed[0])
        call("dataset_purge", None, id=removed[1])

    die(change_all)
    assert [title_in_solr(one) for one in removed] == [None, None]
    assert len(look_now()) == 4
    assert [title_in_solr(one) for one in (dataset["id"], *removed)] == ["before", "old", "old"]
    assert document(name) is None


def test_looks(dead: str) -> None:
    """The first is soon. What the dead process has sent may arrive late, and more than once."""
    waits = look("SELECT extract(epoch FROM due - created) FROM files_index_intent")
    assert float(waits) == pytest.approx(1, abs=0.1)
    assert list(index_repair.repair_due()) == []  # not yet
    assert title_in_solr(dead) == "never"
    before = shown(dead)
    for looks in (1, 2):
        look_now()
        assert title_in_solr(dead) == "before"
        assert intents() == [(dead, looks)]
        index(before, title="never")
        assert title_in_solr(dead) == "never"
    look_now()
    assert title_in_solr(dead) == "before"
    assert intents() == []


@pytest.mark.parametrize("run", [lambda do: do(), in_hold], ids=["stock", "hold"])
def test_change_under_way(run: Any, dead: str) -> None:
    """While another transaction is about to commit, the look is put off."""
    seen: list[Any] = []

    def look_between_solr_and_commit() -> None:
        assert title_in_solr(dead) == "newer"
        look_now()
        seen.append(title_in_solr(dead))

    with at_each_commit(look_between_solr_and_commit):
        run(lambda: retitle(dead, "newer"))
    assert seen == ["newer"]
    assert intents() == [(dead, 0)]
    look_now()
    assert title_in_solr(dead) == "newer"
    assert intents() == [(dead, 1)]


def test_change_under_way_that_locks_no_row(dead: str) -> None:
    """Membership of a group changes the document and not the row of the dataset."""
    group = factories.Group()

    def put_into_group() -> None:
        member = model.Member(
            group=model.Group.get(group["id"]), table_id=dead, table_name="package"
        )
        model.Session.add(member)
        model.Session.flush()
        search.rebuild(package_ids=[dead])

    with at_each_commit(look_now):
        in_hold(put_into_group)
    assert group["name"] in str(document(dead))
    assert intents() == [(dead, 0)]
    look_now()
    assert group["name"] in str(document(dead))


def test_solr_is_away(dead: str, caplog: pytest.LogCaptureFixture) -> None:
    """The intent stays, and waits longer and longer."""
    for age, pause in ((0, 1), (60, 30), (100_000, 3600)):
        created = "clock_timestamp() - make_interval(secs => :age)"
        change(f"UPDATE files_index_intent SET created = {created}", age=age)
        with solr_away(), caplog.at_level(logging.WARNING):
            [failed] = look_now()
        assert failed.package_id == dead
        assert failed.error
        assert intents() == [(dead, 0)]
        left = look("SELECT extract(epoch FROM due - clock_timestamp()) FROM files_index_intent")
        assert float(left) == pytest.approx(pause, abs=2)
        assert left > 0
    assert f"Solr may have a change of dataset {dead}" in caplog.text
    look_now()
    assert title_in_solr(dead) == "before"


def test_next_action_repairs(dead: str, hooks: Any) -> None:
    """No worker runs: after the commit of the next action with a task."""
    other = factories.Dataset()["id"]
    # one that a worker would have looked at
    change("UPDATE files_index_intent SET due = clock_timestamp() - interval '4 seconds'")
    retitle(other, "without a task")
    assert title_in_solr(dead) == "never"
    hooks["before:package_update"] = lambda *_: add_task(nothing)
    answer = retitle(other, "with a task")
    assert title_in_solr(dead) == "before"
    assert intents() == [(dead, 1)]
    assert answer["title"] == "with a task" == title_in_solr(other)


def test_caller_keeps_its_session(dead: str) -> None:
    """Objects of the caller stay, and what they have not committed."""
    session = model.Session()
    package = model.Package.get(dead)
    assert package
    package.notes = "not yet"
    model.Session.flush()
    look_now()
    assert model.Session() is session
    assert package in session
    assert title_in_solr(dead) == "never"  # its row is locked
    model.Session.commit()
    look_now()
    assert title_in_solr(dead) == "before"
    assert look("SELECT notes FROM package WHERE id = :id", id=dead) == "not yet"


def test_within_a_hold(dead: str) -> None:
    """A task that calls for the repair gets what was committed into Solr, at once."""

    def repair_here() -> None:
        look_now()
        assert title_in_solr(dead) == "before"

    in_hold(repair_here)
    assert title_in_solr(dead) == "before"


def test_other_sites_of_the_same_solr(unique: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep a document with the same id."""
    name = unique("never")
    die(lambda: create(name))
    [(package_id, _)] = intents()
    new = factories.Dataset()
    with monkeypatch.context() as there:
        there.setitem(config, "ckan.site_id", "another.site")
        index(new, id=package_id, name=name)
    connection = search.make_connection()
    assert connection.search(q=f'id:"{package_id}"').hits == 2
    look_now()
    [left] = connection.search(q=f'id:"{package_id}"', fl="site_id").docs
    assert left["site_id"] == "another.site"
    connection.delete(q='site_id:"another.site"', commit=True)


def fail_to_commit(package_id: str, refuse: Callable[[], Any]) -> None:
    """Have a commit fail after Solr has answered."""
    with at_each_commit(refuse), pytest.raises(ProbeError):
        in_hold(lambda: retitle(package_id, "never"))


def test_failing_commit(dataset: dict[str, Any]) -> None:
    """The process repairs at once; others look again, for it may be killed meanwhile."""
    refuse = iter([fail])
    fail_to_commit(dataset["id"], lambda: next(refuse, nothing)())
    assert title_in_solr(dataset["id"]) == "before"
    assert intents() == [(dataset["id"], 0)]


def test_failing_commit_while_solr_is_away(
    dataset: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The intent stays, and the log says who repairs it."""
    with ExitStack() as away:
        fail_to_commit(dataset["id"], lambda: (away.enter_context(solr_away()), fail()))
    assert "To do it now: ckan files repair-index" in caplog.text
    assert title_in_solr(dataset["id"]) == "never"
    look_now()
    assert title_in_solr(dataset["id"]) == "before"
