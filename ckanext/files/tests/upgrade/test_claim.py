"""A claim gives files to the entities that name them, by the rules of the validator."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from psycopg2.errors import DeadlockDetected
from sqlalchemy import event
from sqlalchemy.orm import Session

from ckanext.files import capabilities
from ckanext.files.tests.support.crash import die_at, fork, was_killed
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import history, owner, owners, put, upload
from ckanext.files.tests.support.users import call, new_user, organization_of
from ckanext.files.tests.support.waiting import wait_for_a_lock
from ckanext.files.upgrade import claim as moving
from ckanext.files.upgrade import stored_field
from ckanext.files.upgrade.claim import Claiming, ClaimReport, Refused
from ckanext.files.upgrade.stored_field import StoredField

loaded = load_plugins("files")


@pytest.fixture
def field() -> str:
    """A field that no other test uses."""
    return f"field_{uuid.uuid4().hex}"


@pytest.fixture
def user() -> str:
    return new_user()


def id_of(user: str) -> str:
    found = model.User.get(user)
    assert found
    return found.id


def claim(owner_type: str, path: str, of_type: str | None = None, **options: Any) -> ClaimReport:
    model.Session.remove()
    field = StoredField(owner_type, path, of_type)
    report = Claiming(model.Session(), field, **options).run(lambda _: None)
    model.Session.remove()
    return report


def reasons(report: ClaimReport) -> dict[str, str]:
    return {refused.file_id: refused.reason for refused in report.refused}


def dataset(user: str, org: str | None = None, **extras: Any) -> dict[str, Any]:
    """Make a dataset that names files in its extras."""
    stored = [{"key": key, "value": value} for key, value in extras.items()]
    return dataset_with(user, org, extras=stored)


def dataset_with(user: str, org: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a dataset with fields of CKAN's own."""
    org = org or organization_of(user)
    return call("package_create", user, name=f"d-{uuid.uuid4()}", owner_org=org, **fields)


def test_dataset_gets_its_file(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    report = claim("package", field)
    assert (report.given, report.theirs, report.refused) == ({file}, set(), [])
    assert owner(file) == ("package", made["id"], True)
    assert history(file) == [("user", id_of(user), "test")]


def test_again_changes_nothing(user: str, field: str) -> None:
    [file] = upload(user)
    dataset(user, **{field: file})
    claim("package", field)
    before = owner(file), history(file)
    report = claim("package", field)
    assert (report.given, report.theirs, report.refused) == (set(), {file}, [])
    assert (owner(file), history(file)) == before


def test_dry_run_reports_the_same_and_changes_nothing(user: str, field: str) -> None:
    mine, [others] = upload(user, 3), upload(new_user())
    dataset(user, **{field: json.dumps([*mine, others])})
    before = owners(*mine, others)
    looked = claim("package", field, dry_run=True)
    assert owners(*mine, others) == before
    assert looked == claim("package", field)
    assert set(reasons(looked)) == {others}


def test_lists_and_subfields(user: str, field: str) -> None:
    files = upload(user, 4)
    made = dataset(user, **{field: json.dumps([{"doc": files[0]}, {"doc": files[1:3]}, {}])})
    also = dataset(user, **{field: json.dumps({"doc": files[3]})})
    assert claim("package", f"{field}.doc").given == set(files)
    assert owner(files[2]) == ("package", made["id"], True)
    assert owner(files[3]) == ("package", also["id"], True)


def test_resource(user: str, field: str) -> None:
    files = upload(user, 2)
    resources = [{"url": "http://x", field: file} for file in files]
    made = dataset_with(user, resources=resources)
    assert claim("resource", field).given == set(files)
    assert owner(files[1]) == ("resource", made["resources"][1]["id"], True)
    # and on to the dataset, which keeps what is pinned where it is
    assert set(reasons(claim("package", f"resources.{field}")).values()) == {
        f"belongs to resource {item['id']}, which keeps it" for item in made["resources"]
    }


def test_resource_for_its_dataset(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user)
    resource = call("resource_create", user, package_id=made["id"], url="http://x", **{field: file})
    assert claim("package", f"resources.{field}").given == {file}
    assert owner(file) == ("package", made["id"], True)
    assert resource[field] == file


def test_within_a_dataset(user: str, field: str) -> None:
    made = dataset(user)
    [file] = put(("package", made["id"]))
    resource = call("resource_create", user, package_id=made["id"], url="http://x", **{field: file})
    assert claim("resource", f"resources.{field}").given == {file}
    assert owner(file) == ("resource", resource["id"], True)


@pytest.mark.parametrize("kind", ["group", "organization"])
def test_groups(user: str, field: str, kind: str) -> None:
    [file] = upload(user)
    stored = [{"key": field, "value": file}]
    made = call(f"{kind}_create", user, name=f"g-{uuid.uuid4()}", extras=stored)
    other = "group" if kind == "organization" else "organization"
    assert claim(other, field) == ClaimReport()
    assert claim(kind, field).given == {file}
    assert owner(file) == (kind, made["id"], True)


def test_user(field: str) -> None:
    [file], made = put(None), factories.User(plugin_extras={"portal": {}})
    model.Session.remove()
    user: Any = model.User.get(made["name"])
    user.plugin_extras = {"portal": {field: file}}
    model.Session.commit()
    assert claim("user", f"portal.{field}").given == {file}
    assert owner(file) == ("user", made["id"], True)


def test_columns_of_datasets_and_resources(user: str) -> None:
    """CKAN does not store all fields of a schema in extras."""
    in_notes, in_description = upload(user, 2)
    resource = {"url": "http://x", "description": in_description}
    made = dataset_with(user, notes=in_notes, resources=[resource])
    assert in_notes in claim("package", "notes").given
    assert in_description in claim("package", "resources.description").given
    assert owners(in_notes, in_description) == [("package", made["id"], True)] * 2


def test_column_of_groups(user: str) -> None:
    [file] = upload(user)
    made = call("group_create", user, name=f"g-{uuid.uuid4()}", description=file)
    assert file in claim("group", "description").given
    assert owner(file) == ("group", made["id"], True)


def test_type(user: str, field: str) -> None:
    [file] = upload(user)
    dataset(user, **{field: file})
    assert claim("package", field, "report") == ClaimReport()
    assert claim("package", field, "dataset").given == {file}


def test_no_pin(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    claim("package", field, pin=False)
    assert owner(file) == ("package", made["id"], False)
    assert claim("package", field).theirs == {file}
    assert owner(file) == ("package", made["id"], True), "as if it were saved again"


def test_file_without_an_owner(user: str, field: str) -> None:
    [file] = put(None)
    made = dataset(user, **{field: file})
    assert claim("package", field).given == {file}
    assert owner(file) == ("package", made["id"], True)


def test_deleted_dataset_claims_nothing(user: str, field: str) -> None:
    files = upload(user, 2)
    made = [dataset(user, **{field: file}) for file in files]
    call("package_delete", user, id=made[0]["id"])
    assert claim("package", field).given == {files[1]}


@pytest.mark.skipif(capabilities.CORE_FILES, reason="extras have no state there")
@pytest.mark.parametrize("kind", ["package", "group"])
def test_deleted_extra_claims_nothing(user: str, field: str, kind: str) -> None:
    """Old portals have such rows, and do not show them."""
    [file] = upload(user)
    extras = [{"key": field, "value": file}]
    if kind == "package":
        dataset(user, **{field: file})
    else:
        call("group_create", user, name=f"g-{uuid.uuid4()}", extras=extras)
    delete = sa.text(f"UPDATE {kind}_extra SET state = 'deleted' WHERE key = :key")
    with engine().begin() as connection:
        connection.execute(delete, {"key": field})
    assert claim(kind, field) == ClaimReport()
    assert owner(file) == ("user", id_of(user), False)


def test_deleted_dataset_is_no_rival(user: str, field: str) -> None:
    [file] = upload(user)
    made = [dataset(user, **{field: file}) for _ in range(2)]
    call("package_delete", user, id=made[0]["id"])
    assert claim("package", field).given == {file}


def check_refused(user: str, field: str, file: str, reason: str) -> None:
    """Check that a dataset of a user does not get the file that its field names."""
    before, made = owner(file), dataset(user, **{field: file})
    shown = repr(file) if " " in file else file
    expected = [Refused(shown, f"dataset {made['name']}", reason)]
    assert claim("package", field) == ClaimReport(refused=expected)
    assert owner(file) == before


def test_file_of_a_user_who_may_not_edit(user: str, field: str) -> None:
    """An editor of a dataset must not get a file by writing its id into the dataset."""
    other = new_user()
    reason = f"belongs to the user {other}, who may not edit this"
    check_refused(user, field, upload(other)[0], reason)


def test_each_dataset_is_asked_about(user: str, field: str) -> None:
    """CKAN's auth functions keep in the context what they have found."""
    other = new_user()
    mine, others = upload(other), upload(other)
    dataset(other, **{field: mine[0]})
    dataset(user, **{field: others[0]})
    report = claim("package", field)
    assert report.given == set(mine)
    assert set(reasons(report)) == set(others)


def test_file_of_another_editor(user: str, field: str) -> None:
    other = new_user()
    [file] = upload(other)
    dataset(user, organization_of(user, other), **{field: file})
    assert claim("package", field).given == {file}


def test_file_of_a_sysadmin(user: str, field: str) -> None:
    sysadmin = new_user(sysadmin=True)
    [file] = upload(sysadmin)
    reason = f"belongs to the sysadmin {sysadmin}, who takes no part in this"
    check_refused(user, field, file, f"{reason} (see --trust-sysadmins)")
    assert claim("package", field, trust_sysadmins=True).given == {file}


def test_file_of_a_sysadmin_who_takes_part(user: str, field: str) -> None:
    sysadmin = new_user(sysadmin=True)
    files = upload(sysadmin, 2)
    dataset(sysadmin, organization_of(user), **{field: files[0]})
    dataset(user, organization_of(user, sysadmin), **{field: files[1]})
    assert claim("package", field).given == set(files)


def test_file_of_a_deleted_user(user: str, field: str) -> None:
    other = new_user()
    [file] = upload(other)
    call("user_delete", None, id=other)
    check_refused(user, field, file, f"belongs to the user {other}, who is not active")


def test_file_of_something_else(user: str, field: str) -> None:
    other = dataset(user)
    [file] = put(("package", other["id"]))
    check_refused(user, field, file, f"belongs to package {other['id']}")


def test_pinned_file(user: str, field: str) -> None:
    [file] = put(("user", id_of(user)), pinned=True)
    check_refused(user, field, file, f"belongs to user {id_of(user)}, which keeps it")


def test_unknown_file(user: str, field: str) -> None:
    check_refused(user, field, str(uuid.uuid4()), "does not exist")


def test_other_text(user: str, field: str) -> None:
    check_refused(user, field, "see\nthe annex", "is not the id of a file")


@pytest.mark.parametrize("at_once", [1, 200])
def test_named_by_two(user: str, field: str, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", at_once)
    [file] = upload(user)
    for _ in range(2):
        dataset(user, **{field: file})
    report = claim("package", field)
    assert report.given == set()
    assert [r.reason for r in report.refused] == [
        "is named by several, and can belong to one only"
    ] * 2
    assert owner(file) == ("user", id_of(user), False)


def test_named_twice_by_one(user: str, field: str) -> None:
    [file] = upload(user)
    dataset(user, **{field: json.dumps([file, file])})
    assert claim("package", field).given == {file}


def test_named_by_another_that_does_not_have_it(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    claim("package", field)
    dataset(user, **{field: file})
    report = claim("package", field)
    assert report.theirs == {file}
    assert reasons(report) == {file: f"belongs to package {made['id']}, which keeps it"}


@pytest.mark.parametrize("attempts", [1, 5])
def test_file_that_moves_meanwhile(
    user: str, field: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim decides again about a file that has changed since."""
    monkeypatch.setattr(moving, "_ATTEMPTS", attempts)
    [free], [owned, third] = put(None), upload(user, 2)
    made = dataset(user, **{field: json.dumps([free, owned, third])})
    other = dataset(user)
    rivals = itertools.count()

    def take(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "WITH locked" in statement and not next(rivals):
            thread = threading.Thread(target=give_to, args=[other["id"], free, owned])
            thread.start()
            thread.join()

    event.listen(engine(), "before_cursor_execute", take)
    try:
        report = claim("package", field)
    finally:
        event.remove(engine(), "before_cursor_execute", take)
    taken = f"belongs to package {other['id']}, which keeps it"
    busy = "others were working with it: run the command again"
    expected = {free: taken, owned: taken} | ({third: busy} if attempts == 1 else {})
    assert reasons(report) == expected
    assert report.given == {free, owned, third} - set(expected)
    assert owner(third)[0] == ("user" if attempts == 1 else "package")
    assert {found[1] for found in owners(free, owned)} == {other["id"]} != {made["id"]}


def test_deadlock(user: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends one of two transactions that have locked the same rows in another order."""
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", 1_000_000)
    files, org = upload(user, 2), organization_of(user)
    first, second = sorted(dataset(user, org, **{field: file})["id"] for file in files)
    model.Session.remove()
    locked, deadlocks = threading.Event(), []

    def change_both() -> None:
        change = sa.text("UPDATE package SET notes = 'changed' WHERE id = :id")
        with engine().begin() as connection:
            connection.execute(change, {"id": second})
            locked.set()
            wait_for_a_lock()
            connection.execute(change, {"id": first})

    def collect(context: Any) -> None:
        if isinstance(context.original_exception, DeadlockDetected):
            deadlocks.append(context.statement)

    thread = threading.Thread(target=change_both)
    event.listen(engine(), "handle_error", collect)
    try:
        thread.start()
        assert locked.wait(10)
        report = claim("package", field)
    finally:
        thread.join()
        event.remove(engine(), "handle_error", collect)
    # this one: it was the first to wait
    assert ["FOR SHARE" in statement for statement in deadlocks] == [True]
    assert (report.given, report.refused) == (set(files), [])


def give_to(dataset_id: str, *files: str) -> None:
    for file in files:
        call(
            "files_transfer_ownership",
            None,
            id=file,
            owner_type="package",
            owner_id=dataset_id,
            force=True,
            pin=True,
        )
    model.Session.remove()


@pytest.mark.crash
def test_killed_and_run_again(
    user: str, field: str, monkeypatch: pytest.MonkeyPatch, full_size: bool
) -> None:
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", 3)
    count = 60 if full_size else 6
    files, org = upload(user, count), organization_of(user)
    made = {dataset(user, org, **{field: file})["id"]: file for file in files}
    number = 0
    for number in itertools.count(1):
        if not was_killed(fork(lambda number=number: claim_until(field, number))):
            break
        for file in files:
            lines = history(file)
            assert lines == ([("user", id_of(user), "test")] if owner(file)[2] else [])
    assert number > 2
    assert {owner(file)[1]: file for file in files} == made
    assert all(len(history(file)) == 1 for file in files)


def claim_until(field: str, number: int) -> None:
    """Be killed before a commit: each run gets a little further."""
    die_at(number, engine(), "commit")
    claim("package", field)


def test_many(user: str, field: str, full_size: bool, capsys: pytest.CaptureFixture[str]) -> None:
    count = 2000 if full_size else 500
    files, org = upload(user, count), organization_of(user)
    with Session(engine()) as session:
        for file in files:
            made: Any = model.Package(name=f"d-{file}", type="dataset", owner_org=org)
            made.extras = {field: file}
            session.add(made)
        session.commit()
    start = time.monotonic()
    report = claim("package", field)
    with capsys.disabled():
        seconds = time.monotonic() - start
        print(f"{count} datasets got their files in {seconds:.1f} s")  # noqa: T201
    assert (report.given, report.refused) == (set(files), [])
    # later tests need not look at them
    remove = sa.text("UPDATE package SET state = 'deleted' WHERE owner_org = :org")
    with engine().begin() as connection:
        connection.execute(remove, {"org": org})
