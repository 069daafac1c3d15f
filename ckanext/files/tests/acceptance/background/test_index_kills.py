"""Processes are killed at any time of an action: seconds later Solr tells what PostgreSQL does."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.lib import search
from ckan.tests import factories, helpers

from ckanext.files.shared import add_task
from ckanext.files.tests.support.crash import die_between_solr_and_commit, fork, was_killed
from ckanext.files.tests.support.effects import Effects, change, rows
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbePlugin, in_action
from ckanext.files.tests.support.solr import announced, document, splits, title_in_solr
from ckanext.files.tests.support.waiting import wait_for, wait_for_the_dead
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.crash

loaded = load_plugins("files", "files_background", "files_test_probe")


SECONDS_TO_AGREE = 10


@pytest.fixture(scope="module", autouse=True)
def empty_portal(app: Any) -> None:
    """Datasets of other tests, whose processes were killed without a task, are not looked at."""
    helpers.reset_db()
    search.clear_all()


@pytest.fixture(autouse=True)
def quick_looks(full_size: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the small size the second and third look at an intent come sooner."""
    if not full_size:
        monkeypatch.setattr("ckanext.files.transaction.index_repair._PAUSES", (0.5, 1))


class Deeds:
    """What is done by the processes that are killed."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.user = factories.Sysadmin()["name"]
        self.organization = factories.Organization()["id"]

    def prepare(self, kind: str) -> Callable[[], Any]:
        """Make what a deed needs, and return it."""
        place = {"owner_org": self.organization, "private": random.random() < 0.5}
        dataset = None if kind == "create" else factories.Dataset(title="before", **place)
        model.Session.remove()
        return lambda: getattr(self, f"_{kind}")(dataset)

    def act(self, action: str, **data: Any) -> Any:
        return tk.get_action(action)({"user": self.user}, data)

    def _with_task(self, mark: str, action: str, **data: Any) -> None:
        def queue(*_: Any) -> None:
            ProbePlugin.hooks.clear()
            add_task(lambda *_: self.effects.write(mark))

        ProbePlugin.hooks[f"before:{action}"] = queue
        self.act(action.replace("update", "patch"), **data)

    def _create(self, _: None) -> None:
        name = uuid.uuid4().hex  # forks of a process count from the same number
        self._with_task(name, "package_create", name=name, title="new")

    def _update(self, dataset: dict[str, Any]) -> None:
        id_, private = dataset["id"], not dataset["private"]
        self._with_task(id_, "package_update", id=id_, title="after", private=private)

    def _delete(self, dataset: dict[str, Any]) -> None:
        def delete() -> None:
            add_task(lambda *_: self.effects.write(dataset["id"]))
            self.act("package_delete", id=dataset["id"])

        in_action(delete)

    def _several(self, dataset: dict[str, Any]) -> None:
        """One dataset is made, one changed twice, in one commit."""

        def change() -> None:
            self._create(None)
            self._update(dataset)
            self.act("package_patch", id=dataset["id"], notes="changed twice")

        in_action(change)


KINDS = ("create", "update", "update", "delete", "several")


@pytest.fixture
def deeds(effects: Effects, hooks: Any) -> Deeds:
    return Deeds(effects)


def usual_seconds(deeds: Deeds) -> dict[str, float]:
    """Return how long each kind of deed takes."""
    seconds = {}
    for kind in KINDS:
        deed = deeds.prepare(kind)
        began = time.monotonic()
        deed()
        seconds[kind] = time.monotonic() - began
    model.Session.remove()
    return seconds


def kill_many(deeds: Deeds, usual: dict[str, float], times: int) -> None:
    """Kill as many processes, from the beginning of their action until after its commit."""
    reader, begun = os.pipe()

    def run(deed: Callable[[], Any]) -> None:
        os.write(begun, b".")
        deed()
        signal.pause()

    for number in range(times):
        kind = KINDS[number % len(KINDS)]
        deed = deeds.prepare(kind)
        pid = fork(lambda deed=deed: run(deed))
        os.read(reader, 1)
        time.sleep(random.uniform(0, 1.2 * usual[kind]))
        os.kill(pid, signal.SIGKILL)
        assert was_killed(pid)


def test_worker_repairs(deeds: Deeds, workers: Workers, unique: Any) -> None:
    """Before there is one, ``splits`` finds each dataset: the negative control of the others."""
    assert splits() == []
    name = unique("never")
    changed, removed, hidden = (factories.Dataset(title="before") for _ in range(3))
    act = deeds.act
    for do in (
        lambda: act("package_create", name=name),
        lambda: act("package_patch", id=changed["id"], title="never"),
        lambda: act("package_delete", id=removed["id"]),
        lambda: act("package_patch", id=hidden["id"], private=True, owner_org=deeds.organization),
    ):
        die_between_solr_and_commit(do)
    found = wait_for(lambda: len(found := splits()) == 4 and found)
    assert {line.split(":")[0] for line in found} == set(announced())
    assert document(name)
    workers.start()
    wait_for(lambda: not splits(), SECONDS_TO_AGREE)
    assert title_in_solr(changed["id"]) == "before"


def assert_tasks_and_changes_are_committed_together() -> None:
    """Each deed that is done has the effect of its task, and no other deed has one."""
    done = "SELECT CASE title WHEN 'new' THEN name ELSE id END FROM package WHERE title <> 'before'"
    removed = "SELECT id FROM package WHERE state = 'deleted'"
    assert rows(f"{done} UNION {removed} ORDER BY 1") == rows("TABLE files_test_effect ORDER BY 1")


def test_kills(deeds: Deeds, workers: Workers, full_size: bool, record_property: Any) -> None:
    """Half of the kills before a worker is there, half while one runs."""
    change("DELETE FROM files_test_effect")
    kills, usual = 250 if full_size else 8, usual_seconds(deeds)
    assert splits() == []
    kill_many(deeds, usual, kills)
    wait_for_the_dead()
    if full_size:
        time.sleep(2)  # for what Solr has received and not done yet
    unrepaired, interrupted = splits(), len(announced())
    assert unrepaired or not full_size  # another negative control
    workers.start("-c", "1")
    wait_for(lambda: not splits(), SECONDS_TO_AGREE)
    kill_many(deeds, usual, kills)
    wait_for(lambda: not splits(), SECONDS_TO_AGREE)
    wait_for(lambda: not announced())
    assert splits() == []
    assert_tasks_and_changes_are_committed_together()
    record_property("kills", 2 * kills)
    record_property("intents_of_half", interrupted)
    record_property("splits_of_half_before_repair", len(unrepaired))
