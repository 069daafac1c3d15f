"""Whatever plugins ask for, in whichever hook of a core action: they get it, or an error.

Each of the ten actions, each hook of CKAN's that it calls, each way to ask, on its own, within a
custom action, and within a savepoint that is open around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

from ckanext.files.background.schema import SCHEMA
from ckanext.files.capabilities import commit_reaches_root
from ckanext.files.shared import add_task, on_commit
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.core_actions import Call, prepare
from ckanext.files.tests.support.effects import Effects, look
from ckanext.files.tests.support.hook_plugins import Listener
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.transaction import is_commit_requested
from ckanext.files.transaction.journal import is_committing

loaded = load_plugins(
    "files",
    "files_background",
    "files_test_probe",
    "files_test_package_hooks",
    "files_test_resource_hooks",
    "files_test_group_hooks",
    "files_test_organization_hooks",
)

JOBS = f"SELECT count(*) FROM {SCHEMA}.procrastinate_jobs WHERE args->>'name' = :mark"

_SHOW = [f"IPackageController.{name}" for name in ("read", "after_dataset_show")]
_SEARCH = [f"IPackageController.{when}_dataset_search" for when in ("before", "after")]
_CREATE = [*_SHOW, "IPackageController.before_dataset_index", "IPackageController.create"]
_EDIT = [
    *_SHOW,
    "IPackageController.before_dataset_index",
    "IPackageController.edit",
    "IPackageController.after_dataset_update",
]
_RESOURCE = [*_EDIT, "IResourceController.before_resource_show"]

#: The hooks that each action calls.
HOOKS: dict[str, list[str]] = {
    "package_create": [*_CREATE, "IPackageController.after_dataset_create"],
    "package_update": _EDIT,
    "resource_create": [
        *_RESOURCE,
        "IResourceController.before_resource_create",
        "IResourceController.after_resource_create",
    ],
    "resource_update": [
        *_RESOURCE,
        "IResourceController.before_resource_update",
        "IResourceController.after_resource_update",
    ],
    "group_create": [*_SEARCH, "IGroupController.read", "IGroupController.create"],
    "group_update": [*_SEARCH, "IGroupController.edit"],
    "organization_create": [
        *_SEARCH,
        "IOrganizationController.read",
        "IOrganizationController.create",
    ],
    "organization_update": [*_SEARCH, "IOrganizationController.edit"],
}
each_hook = pytest.mark.parametrize(
    ("action", "hook"), [(action, hook) for action, hooks in HOOKS.items() for hook in hooks]
)


class TaskError(Exception):
    """Raised by a task that fails."""


class Asking:
    """Something that a hook asks for, and whether it came."""

    def __init__(self, way: str, call: Call, effects: Effects) -> None:
        self._ask = getattr(self, way)
        self._call = call
        self._effects = effects
        self._wrote = False
        self._called = False

        self.late = False
        """The action had committed its change already, or was just doing so."""

    def __call__(self) -> None:
        visible = look(f"SELECT {self._call.is_visible}", mark=self._call.mark)
        session = model.Session()
        commits = is_committing(session) and not session.get_nested_transaction()
        self.late = visible or commits
        self._ask()

    def add_task(self) -> None:
        add_task(lambda *_: self._write())

    def on_commit(self) -> None:
        on_commit(lambda: vars(self).update(_called=True))

    def delay(self) -> None:
        sample.write.delay(self._call.mark)

    def failing_task(self) -> None:
        def fail(*_: Any) -> None:
            self._write()
            raise TaskError

        add_task(fail)

    def came(self) -> list[str]:
        """The ways in which something came."""
        mark = self._call.mark
        came = {
            "add_task": self._effects.exists(mark),
            "on_commit": self._called,
            "delay": look(JOBS, mark=mark),
        }
        return [way for way, what in came.items() if what]

    def _write(self) -> None:
        if not self._wrote:
            self._wrote = True
            self._effects.write(self._call.mark)


def alone(call: Call) -> None:
    call()


def in_custom_action(call: Call) -> None:
    tk.get_action("probe")({}, {"do": lambda _: call()})


def in_savepoint(call: Call) -> None:
    """A savepoint that is no context manager: within one, CKAN cannot read after its commit."""
    model.Session.begin_nested()
    call()
    if not commit_reaches_root(model.Session()):
        model.Session.commit()  # SQLAlchemy 1.4 leaves the commit to the caller
        model.Session.commit()


PLACES = [alone, in_custom_action, in_savepoint]


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    yield
    Listener.on_hook = None


@pytest.mark.parametrize("action", HOOKS)
def test_the_table_is_complete(action: str, unique: Any) -> None:
    called: set[str] = set()
    call = prepare(action, unique)
    Listener.on_hook = called.add
    call()
    Listener.on_hook = None
    assert called == set(HOOKS[action])


@each_hook
def test_hook_asks_each_time(action: str, hook: str, effects: Effects, unique: Any) -> None:
    """Also for the last time, which may be after the action's commit, or within it."""
    call = prepare(action, unique)
    asking = Asking("delay", call, effects)
    Listener.on_hook = lambda name: asking() if name == hook else None
    call()
    Listener.on_hook = None
    assert asking.came() == ["delay"]
    assert not is_commit_requested(model.Session())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["add_task", "on_commit", "delay", "failing_task"])
@each_hook
def test_hook(
    action: str,
    hook: str,
    way: str,
    place: Callable[[Call], None],
    effects: Effects,
    unique: Any,
) -> None:
    call = prepare(action, unique)
    asking = Asking(way, call, effects)

    def ask(name: str) -> None:
        if name == hook:
            Listener.on_hook = None
            asking()

    Listener.on_hook = ask
    failed = way == "failing_task"
    with pytest.raises(TaskError) if failed else nullcontext():
        place(call)
    while model.Session().in_transaction():
        model.Session.rollback()
    assert asking.came() == ([] if failed else [way])
    assert not is_commit_requested(model.Session())
    assert look(f"SELECT {call.is_visible}", mark=call.mark) is (asking.late or not failed)
    if call.package_id:
        title = look("SELECT title FROM package WHERE id = :id", id=call.package_id)
        assert title_in_solr(call.package_id) == title
