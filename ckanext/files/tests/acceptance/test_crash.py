"""kill -9 at every point: nothing or everything, in PostgreSQL and in Solr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support.core_actions import TEN, Call, prepare
from ckanext.files.tests.support.crash import (
    fork,
    kill_after_the_last_task,
    kill_at_the_commit,
    kill_now,
    was_killed,
)
from ckanext.files.tests.support.effects import Effects
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import document, look_now

pytestmark = pytest.mark.crash

loaded = load_plugins("files", "files_test_probe")


def run_and_die(call: Call, die: Callable[[], Any], hooks: Any, effects: Effects) -> None:
    """Run the action in a process that is killed at the given point."""

    def queue(*_: Any) -> None:
        hooks.clear()
        add_task(lambda *_: effects.write(call.mark))
        die()

    hooks[f"before:{call.action}"] = queue
    assert was_killed(fork(call))
    hooks.clear()


@pytest.mark.parametrize("action", TEN)
def test_at_each_point(action: str, hooks: Any, effects: Effects, unique: Any) -> None:
    call = prepare(action, unique)
    # of the dataset whose document the action writes; of none for groups and users
    reference = call.package_id or str(call.data.get("name"))
    before = document(reference)

    def nothing_is_there() -> bool:
        visible = call.is_committed
        return not visible and not effects.exists(call.mark)

    for die in (lambda: add_task(kill_now), kill_after_the_last_task):
        run_and_die(call, die, hooks, effects)
        assert nothing_is_there()
        assert document(reference) == before

    if action in ("package_create", "package_update", "resource_create"):
        # Solr is ahead, as in stock CKAN 2.12; the first look at the intent repairs it
        run_and_die(call, kill_at_the_commit, hooks, effects)
        assert nothing_is_there()
        assert call.mark in str(document(reference))  # the negative control of the asserts above
        look_now()
        if call.package_id:
            assert call.mark not in str(document(reference))
        else:
            assert document(reference) == before

    run_and_die(call, lambda: on_commit(kill_now), hooks, effects)
    assert call.is_committed
    assert effects.exists(call.mark)
    if action.startswith(("package", "resource")):
        assert call.mark in str(document(reference))
