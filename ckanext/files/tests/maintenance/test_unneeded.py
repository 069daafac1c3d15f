"""Uploads that are not attached are deleted, and so are files of purged owners; no other files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance import batches
from ckanext.files.maintenance.mentions import find_mentioned
from ckanext.files.maintenance.tasks import delete_unattached, settle_abandoned, verify_upload
from ckanext.files.maintenance.unneeded import delete, unattached
from ckanext.files.store.models import file_table, owner_table
from ckanext.files.store.storages import Capability, get_storage
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.users import call, new_user


def _pinned() -> str:
    other = site.upload()
    call("file_pin", None, id=other)
    return other


def test_deleted_with_bytes_and_owner(tasks: TasksManager) -> None:
    """In steps, in the storages that the job is for."""
    here, ids = site.upload(), site.uploads(7, storage="there")
    job = delete_unattached.delay(storages=["there"], dry_run=False, batch=3)
    tasks.run_pending_jobs()
    assert site.steps_of(job.id) == 3
    assert not any(map(site.row, ids))
    assert not any(portal.owners(*ids))
    assert site.stored("there") == {}
    assert site.row(here)
    assert len(site.stored("here")) == 1
    assert site.run(tasks, delete_unattached, dry_run=False) == "1 deleted"
    assert site.run(tasks, delete_unattached, dry_run=False) == "nothing to do"


def test_files_that_are_wanted(tasks: TasksManager) -> None:
    kept, pinned = site.upload(days=29), _pinned()
    of_dataset, without_owner, given_back = site.uploads(3)
    site.attach(of_dataset, "package", factories.Dataset()["id"], pin=False)
    change(f"DELETE FROM {portal.OWNERS} WHERE file_id = :id", id=without_owner)
    change(
        f"INSERT INTO {portal.HISTORY} (id, file_id, owner_type, owner_id, at, actor, action)"
        " VALUES (:id, :id, 'package', 'x', now(), 'a', 'transfer')",
        id=given_back,
    )
    assert site.run(tasks, delete_unattached, dry_run=False) == "nothing to do"
    assert all(map(site.row, (kept, pinned, of_dataset, without_owner, given_back)))


def test_files_that_cannot_be_deleted(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown, there, public, renamed = site.uploads(4)
    site.change(unknown, storage="nowhere")
    site.change(there, storage="there")
    storage = get_storage("there")
    monkeypatch.setattr(storage, "capabilities", storage.capabilities.exclude(Capability.REMOVE))
    change(f"DELETE FROM {portal.OWNERS} WHERE file_id = :id", id=renamed)
    site.change(renamed, id="my-file")
    change(
        f"INSERT INTO {portal.OWNERS} (file_id, owner_type, owner_id, pinned)"
        " VALUES ('my-file', 'user', 'x', false)"
    )
    site.change(public, storage="default")
    # the addresses of its files contain no ids
    monkeypatch.setattr(get_storage("default").settings, "public", True)
    said = site.run(tasks, delete_unattached, dry_run=False)
    assert set(said.split(", ")) == {
        "2 in a storage that cannot remove",
        "1 in a public storage",
        "1 with an id that cannot be looked for",
    }
    assert all(map(site.row, (unknown, there, public, "my-file")))
    portal.delete_file(public)


def _at_a_user(id_: str) -> None:
    context: Any = {"ignore_auth": True}
    person = tk.get_action("user_show")(context, {"id": new_user(), "include_plugin_extras": True})
    person |= {"plugin_extras": {"mine": {"portrait": id_}}, "email": "a@example.com"}
    tk.get_action("user_update")(context, person)


def _in_a_table_of_a_plugin(id_: str) -> None:
    """A column has the name that our query gives the table; a view has no data."""
    change("CREATE SCHEMA files_test_pages")
    change("CREATE MATERIALIZED VIEW files_test_pages.v AS SELECT 1 AS one WITH NO DATA")
    change("CREATE TABLE files_test_pages.page (t int, body jsonb)")
    body = json.dumps({"text": f"<img src='/file/download/{id_}'>"})
    change("INSERT INTO files_test_pages.page VALUES (0, :body)", body=body)


def _in_a_job(id_: str) -> None:
    verify_upload.configure(countdown=3600).delay(id_)
    model.Session.commit()


def _resource(**fields: Any) -> None:
    factories.Resource(**{"package_id": factories.Dataset()["id"], "url": "http://x", **fields})


MENTIONS: dict[str, Callable[[str], Any]] = {
    "extra": lambda id_: factories.Dataset(
        extras=[{"key": "doc", "value": json.dumps([{"file": [id_, "x"]}])}]
    ),
    "text": lambda id_: factories.Dataset(notes=f"See [it](/file/download/{id_})!"),
    "resource": lambda id_: _resource(url=f"http://test.ckan.net/file/download/{id_}?x=1"),
    "field of a resource": lambda id_: _resource(doc=f"['{id_}']"),
    "deleted dataset": lambda id_: call(
        "package_delete", None, id=factories.Dataset(notes=id_)["id"]
    ),
    "organization": lambda id_: factories.Organization(extras=[{"key": "logo", "value": id_}]),
    "user": _at_a_user,
    "table of a plugin": _in_a_table_of_a_plugin,
    "another file": lambda id_: site.change(_pinned(), plugin_data={"thumbnails": {"small": id_}}),
    "owner": lambda id_: site.attach(_pinned(), "file", id_),
    "job": _in_a_job,
}


def test_named_somewhere(tasks: TasksManager) -> None:
    """A field may name a file without owning it."""
    other, *named = site.uploads(1 + len(MENTIONS))
    files = dict(zip(MENTIONS, named, strict=True))
    for kind, id_ in files.items():
        MENTIONS[kind](id_)
    try:
        said = site.run(tasks, delete_unattached, dry_run=False)
    finally:
        change("DROP SCHEMA IF EXISTS files_test_pages CASCADE")
    assert [kind for kind, id_ in files.items() if not site.row(id_)] == []
    assert said == f"{len(files)} named somewhere, 1 deleted"
    assert site.row(other) is None


def test_what_does_not_name_a_file(tasks: TasksManager) -> None:
    """A file's own rows, a job that has ended, and a table that only records the past."""
    id_ = site.upload()
    site.change(id_, plugin_data={"of": id_})
    verify_upload.delay(id_)
    tasks.run_pending_jobs()
    change("CREATE TABLE files_test_copy AS SELECT id FROM (VALUES (:id)) AS copied (id)", id=id_)
    try:
        assert find_mentioned(engine(), {id_}) == {id_}
        change("ALTER TABLE files_test_copy RENAME TO files_test_revision")
        assert find_mentioned(engine(), {id_}) == set()
    finally:
        change("DROP TABLE IF EXISTS files_test_copy, files_test_revision")


def test_storage_refuses_a_location(tasks: TasksManager) -> None:
    site.change(site.uploads(3)[0], location="../../outside")
    assert site.run(tasks, delete_unattached, dry_run=False) == "3 deleted"
    assert len(site.stored("here")) == 1
    assert not tasks.pending_jobs


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are deleted at once, the bytes as far as possible; a job tries the others again."""
    site.uploads(3)
    asked: list[Any] = []

    def refuse_first(remove: Any, data: Any) -> bool:
        asked.append(data)
        if len(asked) == 1:
            raise PermissionError(data.location)
        return remove(data)

    site.intercept(monkeypatch, "here", "remove", refuse_first)
    assert site.run(tasks, delete_unattached, dry_run=False) == "3 deleted"
    assert set(site.stored("here")) == {asked[0].location}
    assert [job["task_name"].rpartition(".")[2] for job in tasks.pending_jobs] == ["remove_bytes"]
    site.run_put_off_jobs(tasks)
    assert site.stored("here") == {}


def test_bytes_that_a_file_of_another_storage_names(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_storage("there").settings, "path", str(site.folder_of("here")))
    deleted, pinned = site.upload(), _pinned()
    location = site.path_of(deleted).name
    site.change(pinned, storage="there", location=location)
    assert site.run(tasks, delete_unattached, dry_run=False) == "1 deleted"
    assert site.row(deleted) is None
    assert location in site.stored("here")


def test_attached_meanwhile(tasks: TasksManager) -> None:
    """The task checks the conditions again when it locks a file."""
    ids = site.uploads(2)
    selection = unattached(30)
    assert [file.id for file in selection.page(model.Session(), "", 9)] == ids
    site.attach(ids[0], "package", "p")
    assert [file.id for file in delete(model.Session(), selection, ids)] == [ids[1]]
    model.Session.commit()
    assert site.row(ids[0])
    assert not site.row(ids[1])


def test_locked_by_another_transaction(tasks: TasksManager) -> None:
    """The task does not wait."""
    ids = site.uploads(3)
    with engine().begin() as connection:
        lock = sa.select(file_table.c.id).where(file_table.c.id == ids[0])
        connection.execute(lock.with_for_update(key_share=True))
        lock = sa.select(owner_table.c.file_id).where(owner_table.c.file_id == ids[1])
        connection.execute(lock.with_for_update(read=True))
        assert site.run(tasks, delete_unattached, dry_run=False) == "1 deleted, 2 changed meanwhile"
    assert site.run(tasks, delete_unattached, dry_run=False) == "2 deleted"


def test_log(
    tasks: TasksManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are logged up to a bound, after the commit, when the bytes go, too."""
    monkeypatch.setattr(batches, "MAX_LOGGED", 2)
    ids = site.uploads(4)
    with caplog.at_level(logging.INFO, batches.__name__):
        delete_unattached(dry_run=False, batch=3).run_once()
        assert (caplog.messages, len(site.stored("here"))) == ([], 4)
        model.Session.rollback()
        assert (caplog.messages, len(site.stored("here"))) == ([], 4)
        site.run(tasks, delete_unattached, dry_run=False, batch=3)
    said = [message.partition("delete_unattached: ")[2] for message in caplog.messages]
    assert said == [f"deleted: {ids[0]}", f"deleted: {ids[1]}", "deleted: and more", "4 deleted"]


def test_purged_owners(tasks: TasksManager) -> None:
    """A deleted owner keeps its files; the task deletes a purged owner's files, pinned or not."""
    dataset = factories.Dataset()
    owners = {
        "package": factories.Dataset()["id"],
        "resource": factories.Resource(package_id=dataset["id"], url="http://x")["id"],
        "group": factories.Group()["id"],
        "organization": factories.Organization()["id"],
        "user": model.User.get(new_user()).id,  # pyright: ignore[reportOptionalMemberAccess]
    }
    files = dict(zip(owners, site.uploads(len(owners)), strict=True))
    for owner_type, file in files.items():
        site.attach(file, owner_type, owners[owner_type], pin=owner_type != "group")
    assert site.run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    for owner_type, id_ in owners.items():
        call(f"{owner_type}_delete", None, id=id_)
    assert site.run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    for id_ in (owners["package"], dataset["id"]):
        call("dataset_purge", None, id=id_)
    call("group_purge", None, id=owners["group"])
    call("organization_purge", None, id=owners["organization"])
    model.Session.delete(model.User.get(owners["user"]))  # CKAN has no action for it
    model.Session.commit()
    assert site.run(tasks, settle_abandoned) == "5 would be deleted"
    assert [owner_type for owner_type, file in files.items() if not site.row(file)] == []
    assert site.run(tasks, settle_abandoned, dry_run=False) == "5 deleted"
    assert [owner_type for owner_type, file in files.items() if site.row(file)] == []
    assert site.stored("here") == {}


def test_files_that_are_not_abandoned(tasks: TasksManager) -> None:
    """Of a plugin's own type, of a resource that an update has removed, and one that is named."""
    dataset = factories.Dataset(resources=[{"url": "http://x"}])
    of_page, of_resource, named = site.uploads(3)
    site.attach(of_page, "page", "nowhere")
    site.attach(of_resource, "resource", dataset["resources"][0]["id"])
    call("package_patch", None, id=dataset["id"], resources=[])
    site.attach(named, "package", "purged")
    factories.Dataset(notes=f"/file/download/{named}")
    assert site.run(tasks, settle_abandoned, dry_run=False) == "1 named somewhere"


def test_young_file_of_no_owner(tasks: TasksManager) -> None:
    """A later commit may write the owner."""
    site.run(tasks, settle_abandoned, days=0, dry_run=False)  # what other tests have left today
    file = site.upload(days=0)
    site.attach(file, "package", "not there yet")
    assert site.run(tasks, settle_abandoned, dry_run=False) == "nothing to do"
    assert site.run(tasks, settle_abandoned, days=0, dry_run=False) == "1 deleted"


def test_given_away(tasks: TasksManager) -> None:
    recipient = factories.User(email=f"{new_user()}@example.com")
    files = site.uploads(3)
    for file in files:
        site.attach(file, "package", "purged")
    deleted = new_user()
    call("user_delete", None, id=deleted)
    for give_to in ("unknown", deleted):
        error = site.error_of(tasks, settle_abandoned, give_to=give_to, dry_run=False)
        assert f"There is no active user {give_to}" in error
    to: Any = {"give_to": recipient["name"], "batch": 2}
    assert site.run(tasks, settle_abandoned, **to) == "3 would be given away"
    assert portal.owners(*files) == [("package", "purged", True)] * 3
    assert site.run(tasks, settle_abandoned, **to, dry_run=False) == "3 given away"
    assert portal.owners(*files) == [("user", recipient["id"], False)] * 3
    assert portal.history(files[0]) == [("package", "purged", "test")]
    assert site.run(tasks, settle_abandoned, **to, dry_run=False) == "nothing to do"
