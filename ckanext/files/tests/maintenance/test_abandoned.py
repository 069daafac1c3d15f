"""Files of purged owners are deleted or given away; a deleted owner keeps its files."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance.tasks import settle_abandoned
from ckanext.files.store.models import history_table
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.maintained_site import (
    attach,
    error_of,
    owner_of,
    row,
    run,
    stored,
    upload,
    uploads,
)
from ckanext.files.tests.support.users import call, new_user

_OWNERS = ("package", "resource", "group", "organization", "user")


def _new(owner_type: str) -> str:
    if owner_type == "user":
        return factories.User(email=f"{new_user()}@example.com")["id"]
    if owner_type == "resource":
        return factories.Resource(package_id=factories.Dataset()["id"], url="http://x")["id"]
    factory = {"package": factories.Dataset, "group": factories.Group}
    return factory.get(owner_type, factories.Organization)()["id"]


def _delete(owner_type: str, id_: str) -> None:
    call(f"{owner_type}_delete", None, id=id_)


def _purge(owner_type: str, id_: str) -> None:
    if owner_type == "user":
        # CKAN has no action for it
        model.Session.delete(model.User.get(id_))
        model.Session.commit()
    elif owner_type == "resource":
        resource: Any = model.Resource.get(id_)
        call("dataset_purge", None, id=resource.package_id)
    else:
        call({"package": "dataset"}.get(owner_type, owner_type) + "_purge", None, id=id_)


@pytest.mark.parametrize("owner_type", _OWNERS)
def test_purged(tasks: TasksManager, owner_type: str) -> None:
    """The task deletes pinned files too."""
    owner_id, file = _new(owner_type), upload()
    attach(file, owner_type, owner_id, pin=True)
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    _delete(owner_type, owner_id)
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    assert row(file)
    _purge(owner_type, owner_id)
    assert run(tasks, settle_abandoned) == "1 would be deleted"
    assert row(file)
    assert run(tasks, settle_abandoned, dry_run=False) == "1 deleted"
    assert row(file) is None
    assert stored("here") == {}
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"


def test_resource_that_an_update_removes(tasks: TasksManager) -> None:
    dataset = factories.Dataset(resources=[{"url": "http://x"}])
    file = upload()
    attach(file, "resource", dataset["resources"][0]["id"])
    call("package_patch", None, id=dataset["id"], resources=[])
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"


def test_owner_of_a_plugins_own_type(tasks: TasksManager) -> None:
    file = upload()
    attach(file, "page", "nowhere")
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"


def test_young(tasks: TasksManager) -> None:
    """A later commit may write the owner."""
    run(tasks, settle_abandoned, days=0, dry_run=False)  # what other tests have left today
    file = upload(days=0)
    attach(file, "package", "not there yet")
    assert run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    assert run(tasks, settle_abandoned, days=0, dry_run=False) == "1 deleted"


def test_named_somewhere(tasks: TasksManager) -> None:
    file = upload()
    attach(file, "package", "purged")
    factories.Dataset(notes=f"/file/download/{file}")
    assert run(tasks, settle_abandoned, dry_run=False) == "1 named somewhere"


def test_given_away(tasks: TasksManager) -> None:
    recipient = factories.User(email=f"{new_user()}@example.com")
    files = uploads(3)
    for file in files:
        attach(file, "package", "purged")
    said = run(tasks, settle_abandoned, give_to=recipient["name"])
    assert said == "3 would be given away"
    assert owner_of(files[0]) == ("package", "purged", True)
    said = run(tasks, settle_abandoned, give_to=recipient["name"], dry_run=False, batch=2)
    assert said == "3 given away"
    assert {owner_of(file) for file in files} == {("user", recipient["id"], False)}
    with engine().connect() as connection:
        columns = history_table.c
        left = sa.select(columns.owner_id, columns.actor).where(columns.file_id == files[0])
        assert connection.execute(left).all() == [("purged", "test")]
    assert run(tasks, settle_abandoned, give_to=recipient["name"], dry_run=False) == "nothing to do"


@pytest.mark.parametrize("give_to", ["unknown", "deleted"])
def test_recipient_who_does_not_exist(tasks: TasksManager, give_to: str) -> None:
    if give_to == "deleted":
        give_to = new_user()
        call("user_delete", None, id=give_to)
    attach(upload(), "package", "purged")
    error = error_of(tasks, settle_abandoned, give_to=give_to, dry_run=False)
    assert f"There is no active user {give_to}" in error
