"""Find the owners of files in what an action returns, and transfer files, for code that may."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.logic import ValidationError

from ckanext.files.ownership import (
    Actor,
    FieldArguments,
    Refusal,
    TransferRefusedError,
    transfer,
    transfer_together,
)
from ckanext.files.ownership.owners import DatasetScope
from ckanext.files.ownership.request_fields import Claim, RequestField
from ckanext.files.ownership.resolved_owners import ResolvedOwners
from ckanext.files.ownership.results import FieldErrors, ResultFields
from ckanext.files.ownership.stored_fields import StoredFields
from ckanext.files.store import FileRecord, Owner, OwnerChange, read_files
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.portal import OWNERS, history, owners, put

DATASET: dict[str, Any] = {
    "id": "d",
    "attachment": "f1",
    "several": json.dumps(["f2", "f3"]),
    "citations": [{"doc": "f4"}, {}, {"docs": json.dumps(["f5"])}],
    "resources": [
        {"id": "r0"},
        {"id": "r1", "doc": "f6", "link": "/file/download/f7"},
        {"id": "r2", "parts": [{"doc": ""}, {"doc": "f8", "docs": ["f9"]}]},
    ],
}
A, B, C = (Owner("package", id_) for id_ in "abc")


# what an action returns


def resolve(
    result: Any, file: str, owner_type: str, *key: Any, former: Owner | None = None
) -> ResolvedOwners:
    """Look for the owner of a file that a field of the request has named."""
    nothing: Any = None
    record = FileRecord(file, former or Owner("user", "u"), False)
    scope, stored = DatasetScope(nothing, None), StoredFields(nothing, "", None)
    field = RequestField(FieldArguments.parse(owner_type), key, None, None, scope, stored)
    return ResolvedOwners(result, {file: Claim(record, field)}, Actor({"user": ""}))


@pytest.mark.parametrize(
    ("file", "owner_type", "key", "owner"),
    [
        ("f1", "package", ("attachment",), "d"),
        ("f3", "package", ("several",), "d"),
        ("f4", "package", ("citations", 1, "doc"), "d"),
        ("f5", "package", ("citations", 0, "docs"), "d"),
        ("f6", "resource", ("resources", 0, "doc"), "r1"),
        ("f6", "package", ("resources", 0, "doc"), "d"),
        ("f7", "resource", ("resources", 0, "link"), "r1"),
        ("f8", "resource", ("resources", 0, "parts", 7, "doc"), "r2"),
        ("f9", "resource", ("resources", 9, "parts", 0, "docs"), "r2"),
        # not shown at all: what the result describes is still known
        ("f1", "user", ("avatar",), "d"),
    ],
)
def test_new_owner(file: str, owner_type: str, key: tuple[Any, ...], owner: str) -> None:
    resolved = resolve(DATASET, file, owner_type, *key)
    resolved.errors.check()
    assert resolved.changes[file].owner == (owner_type, owner)


@pytest.mark.parametrize("result", [None, [], 7, {}, {"id": None}, DATASET])
def test_no_owner(result: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve(result, "nix", "resource", "resources", 0, "doc").errors.check()
    assert caught.value.error_dict == {"resources": [{"doc": [Refusal.NO_OWNER.message("nix")]}]}


@pytest.mark.parametrize(("present", "at"), [("r0", 1), ("r1", 0), ("x", 1)])
def test_twice_is_an_error_where_the_file_has_not_been(present: str, at: int) -> None:
    result = {"id": "d", "resources": [{"id": "r0", "doc": "f"}, {"id": "r1", "doc": "f"}]}
    former = Owner("resource", present)
    with pytest.raises(ValidationError) as caught:
        resolve(result, "f", "resource", "resources", 0, "doc", former=former).errors.check()
    resources: Any = caught.value.error_dict["resources"]
    assert [bool(item) for item in resources] == [n == at for n in range(at + 1)]


def test_fields_ignore_what_has_another_shape() -> None:
    result = {"resources": ["x", None, {"doc": {"a": "f"}}, {"doc": 7}], "citations": "text"}
    keys = [("resources", 0, "doc"), ("citations", 0, "doc"), ("nix",)]
    fields = ResultFields(result, keys).naming("f")
    assert [field.key for field in fields] == [("resources", 2, "doc")]


@pytest.mark.parametrize("resources", [None, "x", [], ["x"], [{}], [{"id": 7}], [{"id": []}]])
def test_odd_resources_in_a_result(resources: Any) -> None:
    """Of a custom action, which may return anything."""
    resolved = resolve({"id": "d", "resources": resources}, "f", "package", "x")
    assert not resolved.is_left_behind(FileRecord("f", Owner("resource", "r"), False))


def test_errors_on_fields() -> None:
    errors = FieldErrors()
    errors.check()
    errors.add(("attachment",), "a")
    errors.add(("resources", 2, "parts", 1, "doc"), "b")
    errors.add(("resources", 0, "doc"), "c")
    errors.add(("resources", 0, "doc"), "d")
    with pytest.raises(ValidationError) as caught:
        errors.check()
    assert caught.value.error_dict == {
        "attachment": ["a"],
        "resources": [{"doc": ["c", "d"]}, {}, {"parts": [{}, {"doc": ["b"]}]}],
    }


# bulk transfer


def give(files: list[str], *, pin: bool = True, force: bool = False) -> list[str]:
    return transfer(model.Session(), files, OwnerChange(A, pin), "me", force=force)


def change_elsewhere(statement: str, **parameters: str) -> None:
    """Change the owners of files in another transaction."""
    with engine().begin() as other:
        other.execute(sa.text(statement), parameters)


def test_transfer() -> None:
    theirs, free, here = *put(B), *put(None), *put(A)
    assert sorted(give([theirs, free, here])) == sorted([theirs, free])
    assert owners(theirs, free) == [(*B, False), None]
    model.Session.commit()
    assert owners(theirs, free, here) == [(*A, True)] * 3
    assert history(theirs) == [(*B, "me")]
    # nothing to do
    assert give([here]) == give([here], pin=False) == give([]) == []
    model.Session.commit()
    assert owners(here) == [(*A, True)]
    assert history(here) == []


def test_pinned_and_unknown_files() -> None:
    """Nothing moves when one of the files may not."""
    theirs, kept = *put(B), *put(B, pinned=True)
    with pytest.raises(TransferRefusedError) as caught:
        give([theirs, kept, "nix"])
    assert caught.value.refusals == {kept: Refusal.PINNED, "nix": Refusal.UNKNOWN}
    assert kept in str(caught.value)
    model.Session.commit()
    assert owners(theirs, kept) == [(*B, False), (*B, True)]
    give([kept], pin=False, force=True)
    model.Session.commit()
    assert owners(kept) == [(*A, False)]


def test_owner_that_appears_meanwhile() -> None:
    """CKAN's own transfer of a file without an owner is not kept off by any lock."""
    free, theirs = *put(None), *put(B)
    columns = "(file_id, owner_type, owner_id, pinned)"
    insert = f"INSERT INTO {OWNERS} {columns} VALUES (:id, 'package', 'c', false)"

    def refusal_of(file_id: str, file: Any) -> Refusal | None:
        if file.owner is None:
            change_elsewhere(insert, id=file_id)
        return None

    changes = dict.fromkeys((free, theirs), OwnerChange(A, True))
    files = read_files(model.Session(), changes)
    with pytest.raises(TransferRefusedError) as caught:
        transfer_together(model.Session(), files, changes, refusal_of, "me")
    assert caught.value.refusals == {free: Refusal.TAKEN}
    model.Session.rollback()
    assert owners(free, theirs) == [(*C, False), (*B, False)]


@pytest.mark.parametrize("refused", ["none", "c"])
def test_judged_again_when_something_has_changed(refused: str) -> None:
    first, second = put(B, 2)
    seen: list[str] = []

    def refusal_of(file_id: str, file: Any) -> Refusal | None:
        seen.append(file.owner.id)
        if len(seen) == 2:
            change_elsewhere(f"UPDATE {OWNERS} SET owner_id = 'c' WHERE file_id = :id", id=first)
        return Refusal.UNKNOWN if file.owner.id == refused else None

    changes = dict.fromkeys((first, second), OwnerChange(A, True))
    files = read_files(model.Session(), changes)
    if refused == "c":
        with pytest.raises(TransferRefusedError) as caught:
            transfer_together(model.Session(), files, changes, refusal_of, "me")
        assert caught.value.refusals == {first: Refusal.UNKNOWN}
    else:
        moved = transfer_together(model.Session(), files, changes, refusal_of, "me")
        assert sorted(moved) == sorted([first, second])
    assert seen == ["b", "b", "c"]
    model.Session.rollback()
