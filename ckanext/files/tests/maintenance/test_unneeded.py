"""Uploads that are not attached are deleted, and no other files."""

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
from ckanext.files.maintenance.tasks import delete_unattached, verify_upload
from ckanext.files.maintenance.unneeded import delete, unattached
from ckanext.files.store.models import file_table, history_table, owner_table
from ckanext.files.store.storages import Capability, get_storage
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.maintained_site import (
    attach,
    change,
    folder_of,
    intercept,
    make_all_due,
    path_of,
    row,
    run,
    steps_of,
    stored,
    upload,
    uploads,
)
from ckanext.files.tests.support.users import call, new_user


def test_deleted_with_bytes_and_owner(tasks: TasksManager) -> None:
    id_ = upload()
    assert run(tasks, delete_unattached, dry_run=False) == "1 deleted"
    assert row(id_) is None
    assert stored("here") == {}
    with engine().connect() as connection:
        owners = sa.select(owner_table).where(owner_table.c.file_id == id_)
        assert connection.execute(owners).first() is None
    assert run(tasks, delete_unattached, dry_run=False) == "nothing to do"


def test_files_that_are_wanted(tasks: TasksManager) -> None:
    kept, pinned = upload(days=29), _pinned()
    of_dataset = upload()
    attach(of_dataset, "package", factories.Dataset()["id"], pin=False)
    without_owner = upload()
    remove_owner(without_owner)
    given_back = upload()
    with engine().begin() as connection:
        line = {"id": given_back, "file_id": given_back, "owner_type": "package", "owner_id": "x"}
        connection.execute(
            history_table.insert().values(**line, at=sa.func.now(), actor="a", action="transfer")
        )
    assert run(tasks, delete_unattached, dry_run=False) == "nothing to do"
    assert all(map(row, (kept, pinned, of_dataset, without_owner, given_back)))


def remove_owner(file_id: str) -> None:
    with engine().begin() as connection:
        connection.execute(owner_table.delete().where(owner_table.c.file_id == file_id))


def test_only_in_some_storages(tasks: TasksManager) -> None:
    here, there = upload(), upload(storage="there")
    assert run(tasks, delete_unattached, storages=["there"], dry_run=False) == "1 deleted"
    assert row(here)
    assert not row(there)


@pytest.mark.parametrize("storage", ["nowhere", "here"])
def test_storage_that_cannot_remove(
    tasks: TasksManager, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = get_storage("here")
    monkeypatch.setattr(here, "capabilities", here.capabilities.exclude(Capability.REMOVE))
    id_ = upload()
    change(id_, storage=storage)
    said = run(tasks, delete_unattached, dry_run=False)
    assert said == "1 in a storage that cannot remove"
    assert row(id_)


def test_id_that_cannot_be_looked_for(tasks: TasksManager) -> None:
    id_ = upload()
    remove_owner(id_)
    change(id_, id="my-file")
    with engine().begin() as connection:
        owner = {"file_id": "my-file", "owner_type": "user", "owner_id": "x", "pinned": False}
        connection.execute(owner_table.insert().values(**owner))
    said = run(tasks, delete_unattached, dry_run=False)
    assert said == "1 with an id that cannot be looked for"


def _at_a_user(id_: str) -> None:
    context: Any = {"ignore_auth": True}
    person = tk.get_action("user_show")(context, {"id": new_user(), "include_plugin_extras": True})
    person |= {"plugin_extras": {"mine": {"portrait": id_}}, "email": "a@example.com"}
    tk.get_action("user_update")(context, person)


def _in_a_table_of_a_plugin(id_: str) -> None:
    _run_sql("CREATE SCHEMA files_test_pages")
    _run_sql("CREATE TABLE files_test_pages.page (body jsonb)")
    body = json.dumps({"text": f"<img src='/file/download/{id_}'>"})
    _run_sql("INSERT INTO files_test_pages.page VALUES (:body)", body=body)


def _in_a_job(id_: str) -> None:
    verify_upload.configure(countdown=3600).delay(id_)
    model.Session.commit()


def _resource(**fields: Any) -> None:
    factories.Resource(**{"package_id": factories.Dataset()["id"], "url": "http://x", **fields})


def _pinned() -> str:
    other = upload()
    call("file_pin", None, id=other)
    return other


def _run_sql(query: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(sa.text(query), values)


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
    "another file": lambda id_: change(_pinned(), plugin_data={"thumbnails": {"small": id_}}),
    "owner": lambda id_: attach(_pinned(), "file", id_),
    "job": _in_a_job,
}


@pytest.mark.parametrize("name_it", MENTIONS.values(), ids=MENTIONS)
def test_named_somewhere(tasks: TasksManager, name_it: Any) -> None:
    """A field may name a file without owning it."""
    named, other = upload(), upload()
    name_it(named)
    try:
        said = run(tasks, delete_unattached, dry_run=False)
        assert said == "1 named somewhere, 1 deleted"
        assert row(named)
        assert row(other) is None
    finally:
        _run_sql("DROP SCHEMA IF EXISTS files_test_pages CASCADE")


def test_what_does_not_name_a_file(tasks: TasksManager) -> None:
    """A file's own rows, a job that has ended, and a table that only records the past."""
    id_ = upload()
    change(id_, plugin_data={"of": id_})
    verify_upload.delay(id_)
    tasks.run_pending_jobs()
    _run_sql("CREATE TABLE files_test_copy AS SELECT id FROM (VALUES (:id)) AS copied (id)", id=id_)
    try:
        assert find_mentioned(engine(), {id_}) == {id_}
        _run_sql("ALTER TABLE files_test_copy RENAME TO files_test_revision")
        assert find_mentioned(engine(), {id_}) == set()
    finally:
        _run_sql("DROP TABLE IF EXISTS files_test_copy, files_test_revision")


def test_odd_tables(tasks: TasksManager) -> None:
    """A view without data, and a column with the name that our query gives the table."""
    id_ = upload()
    _run_sql("CREATE MATERIALIZED VIEW files_test_view AS SELECT 1 AS one WITH NO DATA")
    _run_sql("CREATE TABLE files_test_t AS SELECT 0 AS t, :id AS file", id=id_)
    try:
        assert run(tasks, delete_unattached, dry_run=False) == "1 named somewhere"
    finally:
        _run_sql("DROP TABLE files_test_t")
        _run_sql("DROP MATERIALIZED VIEW files_test_view")


def test_public_storage(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of its files contain no ids."""
    monkeypatch.setattr(get_storage("here").settings, "public", True)
    id_ = upload()
    assert run(tasks, delete_unattached, dry_run=False) == "1 in a public storage"
    assert row(id_)


@pytest.mark.parametrize("fails", ["location", "storage"])
def test_bytes_that_cannot_be_removed(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """The job removes all others."""
    ids, asked = uploads(3), []

    def refuse_first(remove: Any, data: Any) -> bool:
        asked.append(data)
        if len(asked) == 1:
            raise PermissionError(data.location)
        return remove(data)

    if fails == "location":
        change(ids[0], location="../../outside")
    else:
        intercept(monkeypatch, "here", "remove", refuse_first)
    assert run(tasks, delete_unattached, dry_run=False) == "3 deleted"
    assert len(stored("here")) == 1
    assert len(tasks.pending_jobs) == (1 if fails == "storage" else 0)
    make_all_due(tasks)
    assert len(stored("here")) == (0 if fails == "storage" else 1)


def test_bytes_that_a_file_of_another_storage_names(
    tasks: TasksManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_storage("there").settings, "path", str(folder_of("here")))
    deleted, pinned = upload(), _pinned()
    location = path_of(deleted).name
    change(pinned, storage="there", location=location)
    assert run(tasks, delete_unattached, dry_run=False) == "1 deleted"
    assert row(deleted) is None
    assert location in stored("here")


def test_a_step_a_batch(tasks: TasksManager) -> None:
    ids = uploads(7)
    job = delete_unattached.delay(dry_run=False, batch=3)
    tasks.run_pending_jobs()
    assert steps_of(job.id) == 3
    assert not any(map(row, ids))


def test_attached_meanwhile(tasks: TasksManager) -> None:
    """The task checks the conditions again when it locks a file."""
    ids = uploads(2)
    selection = unattached(30)
    assert [file.id for file in selection.page(model.Session(), "", 9)] == ids
    attach(ids[0], "package", "p")
    assert [file.id for file in delete(model.Session(), selection, ids)] == [ids[1]]
    model.Session.commit()
    assert row(ids[0])
    assert not row(ids[1])


def test_locked_by_another_transaction(tasks: TasksManager) -> None:
    """The task does not wait."""
    ids = uploads(3)
    with engine().begin() as connection:
        lock = sa.select(file_table.c.id).where(file_table.c.id == ids[0])
        connection.execute(lock.with_for_update(key_share=True))
        lock = sa.select(owner_table.c.file_id).where(owner_table.c.file_id == ids[1])
        connection.execute(lock.with_for_update(read=True))
        assert run(tasks, delete_unattached, dry_run=False) == "1 deleted, 2 changed meanwhile"
    assert run(tasks, delete_unattached, dry_run=False) == "2 deleted"


def test_bytes_stay_until_the_commit(tasks: TasksManager) -> None:
    upload()
    delete_unattached.delay(dry_run=False)
    model.Session.commit()
    call_ = delete_unattached(dry_run=False)
    call_.run_once()
    assert len(stored("here")) == 1
    model.Session.rollback()
    assert len(stored("here")) == 1
    tasks.run_pending_jobs()
    assert stored("here") == {}


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are deleted at once, the bytes when the storage is available again."""

    def fail(*_: Any) -> None:
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(get_storage("here"), "remove", fail)
        upload()
        assert run(tasks, delete_unattached, dry_run=False) == "1 deleted"
    assert len(stored("here")) == 1
    assert [job["task_name"].rpartition(".")[2] for job in tasks.pending_jobs] == ["remove_bytes"]
    make_all_due(tasks)
    assert stored("here") == {}


def test_log(
    tasks: TasksManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are logged up to a bound, after the commit."""
    monkeypatch.setattr(batches, "MAX_LOGGED", 2)
    ids = uploads(4)
    with caplog.at_level(logging.INFO, batches.__name__):
        delete_unattached(dry_run=False, batch=3).run_once()
        assert caplog.messages == []
        model.Session.rollback()
        run(tasks, delete_unattached, dry_run=False, batch=3)
    said = [message.partition("delete_unattached: ")[2] for message in caplog.messages]
    assert said == [f"deleted: {ids[0]}", f"deleted: {ids[1]}", "deleted: and more", "4 deleted"]
