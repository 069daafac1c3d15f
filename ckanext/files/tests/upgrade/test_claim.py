"""A claim gives files to the entities that name them, and ``ckan files claim`` reports it."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from psycopg2.errors import DeadlockDetected
from sqlalchemy import event

from ckanext.files import capabilities
from ckanext.files.tests.support.console import run
from ckanext.files.tests.support.crash import kill_at_each
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import history, owner, owners, put, upload
from ckanext.files.tests.support.users import call, new_user, organization_of
from ckanext.files.tests.support.waiting import wait_for_a_lock
from ckanext.files.upgrade import claim as moving
from ckanext.files.upgrade import stored_field
from ckanext.files.upgrade.claim import Claiming, ClaimReport, Refused
from ckanext.files.upgrade.stored_field import StoredField

loaded = load_plugins("files")
own_organization = functools.cache(organization_of)


@pytest.fixture
def field() -> str:
    """A field that no other test uses."""
    return f"field_{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def user(loaded: None) -> str:
    return new_user()


@pytest.fixture(scope="module")
def other(loaded: None) -> str:
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


def dataset(
    user: str, org: str | None = None, of_type: str = "dataset", **extras: Any
) -> dict[str, Any]:
    """Make a dataset that names files in its extras.

    :param of_type: a type of its own where pages are small: a claim reads all datasets, also those
        that other tests have made.
    """
    stored = [{"key": key, "value": value} for key, value in extras.items()]
    return dataset_with(user, org, type=of_type, extras=stored)


def dataset_with(user: str, org: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a dataset with fields of CKAN's own."""
    org = org or own_organization(user)
    return call("package_create", user, name=f"d-{uuid.uuid4()}", owner_org=org, **fields)


def test_dataset_gets_its_file_once(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    for report in (ClaimReport(given={file}), ClaimReport(theirs={file})):
        assert claim("package", field) == report
        assert owner(file) == ("package", made["id"], True)
        assert history(file) == [("user", id_of(user), "test")]


def test_lists_and_subfields(user: str, field: str) -> None:
    files = upload(user, 4)
    stored = [{"doc": files[0]}, {"doc": [*files[1:3], files[1]]}, {}]
    made = dataset(user, **{field: json.dumps(stored)})
    also = dataset(user, **{field: json.dumps({"doc": files[3]})})
    assert claim("package", f"{field}.doc").given == set(files)
    assert owner(files[2]) == ("package", made["id"], True)
    assert owner(files[3]) == ("package", also["id"], True)


def test_resource(user: str, field: str) -> None:
    """A field of resources gives files to them or to their dataset, also from one to the other."""
    made = dataset(user)
    [of_user], [of_dataset] = upload(user), put(("package", made["id"]))
    resource = {"package_id": made["id"], "url": "http://x"}
    resources = {
        file: call("resource_create", user, **resource, **{field: file})["id"]
        for file in (of_user, of_dataset)
    }
    report = claim("package", f"resources.{field}", pin=False)
    assert report == ClaimReport(given={of_user}, theirs={of_dataset})
    assert owner(of_user) == ("package", made["id"], False)
    assert claim("resource", f"resources.{field}").given == {of_user, of_dataset}
    assert owners(*resources) == [("resource", id_, True) for id_ in resources.values()]
    # and back to the dataset: what is pinned stays where it is
    assert reasons(claim("package", f"resources.{field}")) == {
        file: f"is pinned to resource {id_}" for file, id_ in resources.items()
    }


@pytest.mark.parametrize("kind", ["group", "organization"])
def test_groups(user: str, field: str, kind: str) -> None:
    [file] = upload(user)
    extras = [{"key": field, "value": file}]
    made = call(f"{kind}_create", user, name=f"g-{uuid.uuid4()}", extras=extras)
    assert claim("group" if kind == "organization" else "organization", field) == ClaimReport()
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


def test_type_and_pin(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    assert claim("package", field, "report") == ClaimReport()
    assert claim("package", field, "dataset", pin=False).given == {file}
    assert owner(file) == ("package", made["id"], False)
    assert claim("package", field).theirs == {file}
    assert owner(file) == ("package", made["id"], True), "as if it were saved again"


def test_deleted_dataset_claims_nothing(user: str, field: str) -> None:
    """Another dataset that names the same file is its only owner then."""
    files = upload(user, 2)
    made = [dataset(user, **{field: file}) for file in (*files, files[1])]
    for deleted in made[:2]:
        call("package_delete", user, id=deleted["id"])
    assert claim("package", field).given == {files[1]}
    assert owner(files[1]) == ("package", made[2]["id"], True)


@pytest.mark.skipif(capabilities.CORE_FILES, reason="extras have no state there")
def test_deleted_extra_claims_nothing(user: str, field: str) -> None:
    """Old portals have such rows, and do not show them."""
    [file] = upload(user)
    dataset(user, **{field: file})
    change("UPDATE package_extra SET state = 'deleted' WHERE key = :key", key=field)
    assert claim("package", field) == ClaimReport()
    assert owner(file) == ("user", id_of(user), False)


def test_refused(user: str, other: str, field: str) -> None:
    """An editor of a dataset must not get a file by writing its id into the dataset."""
    gone, sysadmin, unknown = new_user(), new_user(sysadmin=True), str(uuid.uuid4())
    elsewhere = dataset(user)["id"]
    [others], [of_gone], [of_sysadmin] = upload(other), upload(gone), upload(sysadmin)
    [of_dataset], [pinned] = put(("package", elsewhere)), put(("user", id_of(user)), pinned=True)
    call("user_delete", None, id=gone)
    expected = {
        others: f"belongs to the user {other}, who may not edit this",
        of_gone: f"belongs to the user {gone}, who is not active",
        of_sysadmin: f"belongs to the sysadmin {sysadmin}, who takes no part in this"
        " (see --trust-sysadmins)",
        of_dataset: f"belongs to package {elsewhere}",
        pinned: f"is pinned to user {id_of(user)}",
        unknown: "does not exist",
    }
    before = owners(*expected)
    made = dataset(user, **{field: json.dumps(list(expected))})
    refused = [Refused(id_, f"dataset {made['name']}", expected[id_]) for id_ in expected]
    note = dataset(user, **{field: "see\nthe annex"})
    text = Refused(r"'see\nthe annex'", f"dataset {note['name']}", "is not the id of a file")
    # CKAN's auth functions keep in the context what they have found: each dataset is asked about
    [theirs] = upload(other)
    dataset(other, **{field: theirs})
    report = claim("package", field)
    assert sorted(report.refused) == sorted([*refused, text])
    assert (report.given, report.theirs) == ({theirs}, set())
    assert owners(*expected) == before
    assert claim("package", field, trust_sysadmins=True).given == {of_sysadmin}


def test_owners_who_take_part(user: str, other: str, field: str) -> None:
    """Another editor, and a sysadmin who has made the dataset or edits it; a file may have none."""
    sysadmin = new_user(sysadmin=True)
    [free], [of_editor], of_sysadmin = put(None), upload(other), upload(sysadmin, 2)
    dataset(user, **{field: free})
    dataset(user, organization_of(user, other), **{field: of_editor})
    dataset(sysadmin, own_organization(user), **{field: of_sysadmin[0]})
    dataset(user, organization_of(user, sysadmin), **{field: of_sysadmin[1]})
    assert claim("package", field) == ClaimReport(given={free, of_editor, *of_sysadmin})


def test_sysadmin_in_groups_and_resources(user: str, field: str) -> None:
    """Making a group or dataset is taking part; to be a member who may not edit is not."""
    sysadmin = new_user(sysadmin=True)
    own, strange, in_resource, of_member = upload(sysadmin, 4)
    for creator, file in ((sysadmin, own), (user, strange)):
        extras = [{"key": field, "value": file}]
        call("group_create", creator, name=f"g-{uuid.uuid4()}", extras=extras)
    resources = [{"url": "http://x", field: in_resource}]
    dataset_with(sysadmin, own_organization(user), resources=resources)
    report = claim("group", field)
    assert (report.given, set(reasons(report))) == ({own}, {strange})
    assert claim("resource", field) == ClaimReport(given={in_resource})
    roles = {user: "editor", sysadmin: "member"}
    members = [{"name": name, "capacity": roles[name]} for name in roles]
    dataset(user, factories.Organization(users=members)["id"], **{field: of_member})
    assert set(reasons(claim("package", field))) == {of_member}


def test_named_by_two(user: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", 1)
    [file] = upload(user)
    for _ in range(2):
        dataset(user, of_type=field, **{field: file})
    report = claim("package", field, field)
    assert report.given == set()
    expected = "is named by several, and can belong to one only"
    assert [refused.reason for refused in report.refused] == [expected] * 2
    assert owner(file) == ("user", id_of(user), False)


def test_named_by_another_that_does_not_have_it(user: str, field: str) -> None:
    [file] = upload(user)
    made = dataset(user, **{field: file})
    claim("package", field)
    dataset(user, **{field: file})
    report = claim("package", field)
    assert report.theirs == {file}
    assert reasons(report) == {file: f"is pinned to package {made['id']}"}


@pytest.mark.parametrize("attempts", [1, 5])
def test_file_that_moves_meanwhile(
    user: str, field: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim decides again about a file that has changed since."""
    monkeypatch.setattr(moving, "_ATTEMPTS", attempts)
    [free], [owned, third] = put(None), upload(user, 2)
    made = dataset(user, **{field: json.dumps([free, owned, third])})
    rival = dataset(user)
    times = itertools.count()

    def take(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "WITH locked" in statement and not next(times):
            with ThreadPoolExecutor() as threads:
                threads.submit(give_to, rival["id"], free, owned).result()

    event.listen(engine(), "before_cursor_execute", take)
    try:
        report = claim("package", field)
    finally:
        event.remove(engine(), "before_cursor_execute", take)
    taken = f"is pinned to package {rival['id']}"
    busy = "others were working with it: run the command again"
    expected = {free: taken, owned: taken} | ({third: busy} if attempts == 1 else {})
    assert reasons(report) == expected
    assert report.given == {free, owned, third} - set(expected)
    assert owner(third)[0] == ("user" if attempts == 1 else "package")
    assert {found[1] for found in owners(free, owned)} == {rival["id"]} != {made["id"]}


def give_to(dataset_id: str, *files: str) -> None:
    new: Any = {"owner_type": "package", "owner_id": dataset_id, "force": True, "pin": True}
    for file in files:
        call("files_transfer_ownership", None, id=file, **new)
    model.Session.remove()


def test_deadlock(user: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends one of two transactions that have locked the same rows in another order."""
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", 1_000_000)
    files = upload(user, 2)
    first, second = sorted(dataset(user, **{field: file})["id"] for file in files)
    model.Session.remove()
    locked, deadlocks = threading.Event(), []

    def change_both() -> None:
        update = sa.text("UPDATE package SET notes = 'changed' WHERE id = :id")
        with engine().begin() as connection:
            connection.execute(update, {"id": second})
            locked.set()
            wait_for_a_lock()
            connection.execute(update, {"id": first})

    def collect(context: Any) -> None:
        if isinstance(context.original_exception, DeadlockDetected):
            deadlocks.append(context.statement)

    event.listen(engine(), "handle_error", collect)
    try:
        with ThreadPoolExecutor() as threads:
            changed = threads.submit(change_both)
            assert locked.wait(10)
            report = claim("package", field)
            changed.result()
    finally:
        event.remove(engine(), "handle_error", collect)
    # this one: it was the first to wait
    assert ["FOR SHARE" in statement for statement in deadlocks] == [True]
    assert (report.given, report.refused) == (set(files), [])


@pytest.mark.crash
def test_killed_and_run_again(
    user: str, field: str, monkeypatch: pytest.MonkeyPatch, full_size: bool
) -> None:
    """A kill before each commit: each run gets a little further."""
    monkeypatch.setattr(stored_field, "_PAGE_SIZE", 3)
    files = upload(user, 60 if full_size else 6)
    made = {dataset(user, of_type=field, **{field: file})["id"]: file for file in files}

    def check() -> None:
        for file in files:
            lines = history(file)
            assert lines == ([("user", id_of(user), "test")] if owner(file)[2] else [])

    kills = kill_at_each(["commit"], lambda: claim("package", field, field), check)
    assert kills == len(files) // 3 + 1  # the page after the last one has a commit, too
    assert {owner(file)[1]: file for file in files} == made
    assert all(len(history(file)) == 1 for file in files)


def test_command(user: str, other: str, field: str) -> None:
    """It prints the numbers, and why a file was refused; then the exit code is 1."""
    [mine], [others] = upload(user), upload(other)
    made, refused = dataset(user, **{field: mine}), dataset(user, **{field: others})

    def claimed(*options: str) -> tuple[int, list[str], str]:
        code, text = run("claim", "package", field, *options)
        *_, last = lines = text.splitlines()
        return code, [" ".join(line.split()) for line in lines[:3]], last

    before = owners(mine, others)
    assert claimed("--dry-run")[:2] == (1, ["to be given 1", "already theirs 0", "refused 1"])
    assert owners(mine, others) == before
    code, numbers, last = claimed()
    assert (code, numbers) == (1, ["given 1", "already theirs 0", "refused 1"])
    assert owner(mine) == ("package", made["id"], True)
    assert last.split("  ")[0] == others
    assert f"dataset {refused['name']}" in last
    assert last.endswith(f"belongs to the user {other}, who may not edit this")
    call("package_delete", None, id=refused["id"])
    assert claimed()[:2] == (0, ["given 0", "already theirs 1", "refused 0"])
    assert run("claim", "group", field) == (0, f"Nothing names a file in {field}.\n")
    code, text = run("claim", "dataset", field)
    assert (code, "'package'" in text) == (2, True)
    assert run("claim", "user", field, "--type", "report")[0] == 2
