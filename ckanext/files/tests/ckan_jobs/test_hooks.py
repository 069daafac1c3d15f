"""A job that a plugin's hook asks for has one commit with what the action has done before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import logic, model
from ckan.lib import jobs

from ckanext.files.tests.support.core_actions import TEN, Call, prepare
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.hook_plugins import Listener
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.load_plugins import load_plugins

KINDS = ("package", "resource", "group", "organization")
"""Those with hooks. Of a user no plugin hears."""

loaded = load_plugins(
    "files",
    "files_background",
    "files_jobs",
    *(f"files_test_{kind}_hooks" for kind in KINDS),
)

WITH_HOOKS = [action for action in TEN if action.startswith(KINDS)]

LAST = {
    "package": "after_dataset_{verb}",
    "resource": "after_resource_{verb}",
    "group": "IGroupController.{hook}",
    "organization": "IOrganizationController.{hook}",
}
"""The last hook that CKAN calls."""


class Asker:
    """Asks for a job in hooks, and notes what another connection sees there.

    :param hooks: the end of their names.
    """

    def __init__(self, call: Call, hooks: str) -> None:
        self._call = call
        self._hooks = hooks
        self.jobs: list[str] = []
        self.seen: list[tuple[bool, bool]] = []

    def __call__(self, hook: str) -> None:
        if hook.endswith(self._hooks):
            self.jobs.append(tk.enqueue_job(jobs.test_job, [hook]).id)
            self.seen.append((self._call.is_committed, self.is_written))

    @property
    def is_written(self) -> bool:
        """Whether a worker could see the last job."""
        query = f"SELECT EXISTS (SELECT FROM {S}.files_rq_job WHERE rq_id = :id)"
        return look(query, id=self.jobs[-1])


@pytest.fixture
def asker_of() -> Iterator[Callable[..., Asker]]:
    def asker_of(call: Call, hooks: str = "") -> Asker:
        Listener.on_hook = asker = Asker(call, hooks)
        return asker

    yield asker_of
    Listener.on_hook = None


@pytest.mark.parametrize("action", WITH_HOOKS)
def test_hook_and_action_are_one_commit(
    action: str, unique: Callable[[str], str], asker_of: Callable[..., Asker]
) -> None:
    call, (kind, verb) = prepare(action, unique), action.split("_")
    hook = {"create": "create", "update": "edit"}[verb]
    asker = asker_of(call, LAST[kind].format(verb=verb, hook=hook))
    call()
    assert asker.seen == [(False, False)]
    assert (call.is_committed, asker.is_written) == (True, True)


@pytest.mark.parametrize("action", WITH_HOOKS)
def test_caller_that_commits(
    action: str, unique: Callable[[str], str], asker_of: Callable[..., Asker]
) -> None:
    """``defer_commit`` leaves the commit to the caller, as without hooks."""
    call = prepare(action, unique)
    asker = asker_of(call)
    call(defer_commit=True)
    assert asker.seen
    assert (call.is_committed, asker.is_written) == (False, False)
    model.Session.commit()
    assert (call.is_committed, asker.is_written) == (True, True)


def test_without_one_commit(
    ckan_config: Any, unique: Callable[[str], str], asker_of: Callable[..., Asker]
) -> None:
    """The negative control: CKAN commits the resource before it calls the hook."""
    ckan_config["ckanext.files.jobs.one_commit"] = False
    logic.clear_actions_cache()
    call = prepare("resource_create", unique)
    asker = asker_of(call, "after_resource_create")
    try:
        call()
    finally:
        logic.clear_actions_cache()
    assert asker.seen == [(True, False)]
    assert asker.is_written
