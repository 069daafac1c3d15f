"""What a killed process has left in Solr is put right, and nothing newer is overwritten."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.lib import search
from ckan.tests import factories

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.crash import die_between_solr_and_commit as die
from ckanext.files.tests.support.crash import fork, kill_between_index_and_commit, was_killed
from ckanext.files.tests.support.effects import at_each_commit, engine, look
from ckanext.files.tests.support.intents import intents, look_now
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import document, solr_away, title_in_solr
from ckanext.files.tests.support.waiting import wait_for_the_dead
from ckanext.files.transaction import index_repair

loaded = load_plugins("files", "files_test_probe")


@pytest.fixture
def dataset() -> dict[str, Any]:
    made = factories.Dataset(title="before")
    model.Session.remove()
    return made


@pytest.fixture
def act() -> Callable[..., Any]:
    """Call an action as a sysadmin."""
    user = factories.Sysadmin()["name"]
    return lambda action, /, **data: tk.get_action(action)({"user": user}, data)


def hold(do: Callable[[], Any]) -> Any:
    return tk.get_action("probe_eager")({}, {"do": lambda _: do()})


def index(pkg_dict: dict[str, Any], **changes: Any) -> None:
    """Let a document arrive in Solr that a dead process has sent."""
    stale = {**pkg_dict, **changes}
    both = {**stale, "with_custom_schema": dict(stale)} if CORE_FILES else stale
    search.index_for("package").update_dict(both)


def test_created(act: Any, unique: Any) -> None:
    """No document stays of a dataset that never was, of which CKAN's own command knows nothing."""
    name = unique("never")
    die(lambda: act("package_create", name=name))
    assert document(name)
    with pytest.raises(tk.ObjectNotFound):
        search.rebuild(name)
    look_now()
    assert document(name) is None


def test_updated(act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    assert title_in_solr(dataset["id"]) == "never"
    look_now()
    assert title_in_solr(dataset["id"]) == "before"


@pytest.mark.parametrize("action", ["package_delete", "dataset_purge"])
def test_removed(action: str, act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act(action, id=dataset["id"]))
    assert document(dataset["id"]) is None
    look_now()
    assert title_in_solr(dataset["id"]) == "before"


@pytest.mark.skipif(not CORE_FILES, reason="CKAN 2.11 calls the hook within its own commit")
def test_hold_that_begins_while_solr_is_asked(
    act: Any, dataset: dict[str, Any], hooks: Any
) -> None:
    """A hook that makes the document asks for a callback."""

    def run() -> None:
        hooks["before_dataset_index"] = lambda _: on_commit(lambda: None)
        kill_between_index_and_commit()
        act("package_patch", id=dataset["id"], title="never")

    assert was_killed(fork(run))
    wait_for_the_dead()
    assert title_in_solr(dataset["id"]) == "never"
    assert intents() == [(dataset["id"], 0)]
    look_now()
    assert title_in_solr(dataset["id"]) == "before"


def test_several(act: Any, dataset: dict[str, Any], unique: Any) -> None:
    name, other = unique("never"), factories.Dataset(title="other")

    def change() -> None:
        act("package_create", name=name)
        act("package_patch", id=dataset["id"], title="never")
        act("package_delete", id=other["id"])

    die(change)
    look_now()
    found = [title_in_solr(one["id"]) for one in (dataset, other)]
    assert (found, document(name)) == (["before", "other"], None)


def test_first_look_is_soon(act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    waits = look("SELECT extract(epoch FROM due - created) FROM files_index_intent")
    assert float(waits) == pytest.approx(1, abs=0.1)
    assert list(index_repair.repair_due()) == []  # not yet
    assert title_in_solr(dataset["id"]) == "never"


def test_what_arrives_late(act: Any, dataset: dict[str, Any]) -> None:
    """The dead process had sent more than one document, or Solr was slow."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    shown = act("package_show", id=dataset["id"])
    for looks in (1, 2):
        look_now()
        assert title_in_solr(dataset["id"]) == "before"
        assert intents() == [(dataset["id"], looks)]
        index(shown, title="never")
        assert title_in_solr(dataset["id"]) == "never"
    look_now()
    assert title_in_solr(dataset["id"]) == "before"
    assert intents() == []


def test_what_arrives_late_of_a_dataset_that_never_was(act: Any, unique: Any) -> None:
    name = unique("never")
    shown = {}
    die(lambda: act("package_create", name=name))
    look_now()
    shown = factories.Dataset()
    index(shown, id=intents()[0][0], name=name)
    assert document(name)
    look_now()
    assert document(name) is None


def test_newer_change(act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    act("package_patch", id=dataset["id"], title="newer")
    look_now()
    assert title_in_solr(dataset["id"]) == "newer"


def test_newer_change_with_a_task(act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    hold(lambda: act("package_patch", id=dataset["id"], title="newer"))
    assert len(intents()) == 1
    look_now()
    assert title_in_solr(dataset["id"]) == "newer"


def test_two_dead_ones(act: Any, dataset: dict[str, Any]) -> None:
    for title in ("never", "ever"):
        die(lambda title=title: act("package_patch", id=dataset["id"], title=title))
    assert len(intents()) == 2
    assert len(look_now()) == 2
    assert title_in_solr(dataset["id"]) == "before"


@pytest.mark.parametrize("held", [False, True])
def test_change_under_way(held: bool, act: Any, dataset: dict[str, Any]) -> None:
    """While somebody is about to commit, the look is put off."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    seen: list[Any] = []

    def look_between_solr_and_commit() -> None:
        assert title_in_solr(dataset["id"]) == "newer"
        look_now()
        seen.append(title_in_solr(dataset["id"]))

    deed = lambda: act("package_patch", id=dataset["id"], title="newer")  # noqa: E731
    with at_each_commit(look_between_solr_and_commit):
        hold(deed) if held else deed()
    assert seen == ["newer"]
    assert intents() == [(dataset["id"], 0)]
    look_now()
    assert title_in_solr(dataset["id"]) == "newer"
    assert intents() == [(dataset["id"], 1)]


def test_change_under_way_that_locks_no_row(act: Any, dataset: dict[str, Any]) -> None:
    """Membership of a group changes the document and not the row of the dataset."""
    group = factories.Group()
    die(lambda: act("package_patch", id=dataset["id"], title="never"))

    def put_into_group() -> None:
        member = model.Member(
            group=model.Group.get(group["id"]), table_id=dataset["id"], table_name="package"
        )
        model.Session.add(member)
        model.Session.flush()
        search.rebuild(package_ids=[dataset["id"]])

    with at_each_commit(look_now):
        hold(put_into_group)
    assert group["name"] in str(document(dataset["id"]))
    assert intents() == [(dataset["id"], 0)]
    look_now()
    assert group["name"] in str(document(dataset["id"]))


def test_solr_is_away(act: Any, dataset: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The intent stays, and waits longer and longer."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    with solr_away(), caplog.at_level(logging.WARNING):
        [failed] = look_now()
    assert failed.package_id == dataset["id"]
    assert failed.error
    assert f"Solr may have a change of dataset {dataset['id']}" in caplog.text
    assert intents() == [(dataset["id"], 0)]
    assert look("SELECT due > clock_timestamp() FROM files_index_intent")
    look_now()
    assert title_in_solr(dataset["id"]) == "before"


def test_pause_after_failures_grows(act: Any, dataset: dict[str, Any]) -> None:
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    for age, pause in ((0, 1), (60, 30), (100_000, 3600)):
        with engine().begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE files_index_intent SET created = clock_timestamp()"
                    " - make_interval(secs => :age)"
                ),
                {"age": age},
            )
        with solr_away():
            look_now()
        left = look("SELECT extract(epoch FROM due - clock_timestamp()) FROM files_index_intent")
        assert float(left) == pytest.approx(pause, abs=2)


def test_next_action_repairs(act: Any, dataset: dict[str, Any], hooks: Any) -> None:
    """No worker runs: after the commit of the next action with a task."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    other = factories.Dataset()
    # one that a worker would have looked at
    with engine().begin() as connection:
        connection.execute(
            sa.text("UPDATE files_index_intent SET due = clock_timestamp() - interval '4 seconds'")
        )
    act("package_patch", id=other["id"], title="without a task")
    assert title_in_solr(dataset["id"]) == "never"
    hooks["before:package_update"] = lambda *_: add_task(lambda *_: None)
    answer = act("package_patch", id=other["id"], title="with a task")
    assert title_in_solr(dataset["id"]) == "before"
    assert intents() == [(dataset["id"], 1)]
    assert answer["title"] == "with a task" == title_in_solr(other["id"])


def test_caller_keeps_its_session(act: Any, dataset: dict[str, Any]) -> None:
    """Objects of the caller stay, and what they have not committed."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))
    session = model.Session()
    package = model.Package.get(dataset["id"])
    assert package
    package.notes = "not yet"
    model.Session.flush()
    look_now()
    assert model.Session() is session
    assert package in session
    assert title_in_solr(dataset["id"]) == "never"  # its row is locked
    model.Session.commit()
    look_now()
    assert title_in_solr(dataset["id"]) == "before"
    assert look("SELECT notes FROM package WHERE id = :id", id=dataset["id"]) == "not yet"


def test_within_a_hold(act: Any, dataset: dict[str, Any]) -> None:
    """A task that has it looked for gets what was committed into Solr, at once."""
    die(lambda: act("package_patch", id=dataset["id"], title="never"))

    def repair_here() -> None:
        look_now()
        assert title_in_solr(dataset["id"]) == "before"

    hold(repair_here)
    assert title_in_solr(dataset["id"]) == "before"


def test_other_sites_of_the_same_solr(
    act: Any, unique: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep a document with the same id."""
    name = unique("never")
    die(lambda: act("package_create", name=name))
    [(package_id, _)] = intents()
    shown = factories.Dataset()
    with monkeypatch.context() as there:
        there.setitem(config, "ckan.site_id", "another.site")
        index(shown, id=package_id, name=name)
    connection = search.make_connection()
    assert connection.search(q=f'id:"{package_id}"').hits == 2
    look_now()
    [left] = connection.search(q=f'id:"{package_id}"', fl="site_id").docs
    assert left["site_id"] == "another.site"
    connection.delete(q='site_id:"another.site"', commit=True)


def fail(act: Any, dataset: dict[str, Any], refuse: Callable[[], Any]) -> None:
    """Have a commit fail after Solr has answered."""
    with at_each_commit(refuse), pytest.raises(ZeroDivisionError):
        hold(lambda: act("package_patch", id=dataset["id"], title="never"))


def test_failing_commit(act: Any, dataset: dict[str, Any]) -> None:
    """The process repairs at once; others look again, for it may be killed meanwhile."""
    reasons = [ZeroDivisionError]

    def refuse() -> None:
        if reasons:
            raise reasons.pop()

    fail(act, dataset, refuse)
    assert title_in_solr(dataset["id"]) == "before"
    assert intents() == [(dataset["id"], 0)]


def test_failing_commit_while_solr_is_away(
    act: Any, dataset: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The intent stays, and the log says who repairs it."""
    with ExitStack() as away:
        fail(act, dataset, lambda: (away.enter_context(solr_away()), 1 / 0))
    assert "To do it now: ckan files repair-index" in caplog.text
    assert title_in_solr(dataset["id"]) == "never"
    look_now()
    assert title_in_solr(dataset["id"]) == "before"
