"""Find files and their owners in what an action returns; put errors where they belong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ckan.logic import ValidationError

from ckanext.files.ownership import Actor, FieldArguments, Refusal
from ckanext.files.ownership.owners import DatasetScope
from ckanext.files.ownership.request_fields import Claim, RequestField
from ckanext.files.ownership.resolved_owners import ResolvedOwners
from ckanext.files.ownership.results import FieldErrors, ResultFields
from ckanext.files.ownership.stored_fields import StoredFields
from ckanext.files.store import FileRecord, Owner

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


def claim(file: str, owner_type: str, key: tuple[Any, ...], owner: Owner | None = None) -> Claim:
    record = FileRecord(file, owner or Owner("user", "u"), False)
    nothing: Any = None
    scope, stored = DatasetScope(nothing, None), StoredFields(nothing, "", None)
    arguments = FieldArguments.parse(owner_type)
    return Claim(record, RequestField(arguments, key, None, None, scope, stored))


def resolve(result: Any, file: str, claim: Claim) -> ResolvedOwners:
    return ResolvedOwners(result, {file: claim}, Actor({"user": ""}))


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
    resolved = resolve(DATASET, file, claim(file, owner_type, key))
    resolved.errors.check()
    assert resolved.changes[file].owner == (owner_type, owner)


@pytest.mark.parametrize("result", [None, [], 7, {}, {"id": None}, DATASET])
def test_no_owner(result: Any) -> None:
    resolved = resolve(result, "nix", claim("nix", "resource", ("resources", 0, "doc")))
    with pytest.raises(ValidationError) as caught:
        resolved.errors.check()
    assert caught.value.error_dict == {"resources": [{"doc": [Refusal.NO_OWNER.message("nix")]}]}


@pytest.mark.parametrize(("present", "at"), [("r0", 1), ("r1", 0), ("x", 1)])
def test_twice_is_an_error_where_the_file_has_not_been(present: str, at: int) -> None:
    result = {"id": "d", "resources": [{"id": "r0", "doc": "f"}, {"id": "r1", "doc": "f"}]}
    key = ("resources", 0, "doc")
    resolved = resolve(result, "f", claim("f", "resource", key, Owner("resource", present)))
    with pytest.raises(ValidationError) as caught:
        resolved.errors.check()
    resources: Any = caught.value.error_dict["resources"]
    assert [bool(item) for item in resources] == [n == at for n in range(at + 1)]


def test_fields_ignore_what_has_another_shape() -> None:
    result = {"resources": ["x", None, {"doc": {"a": "f"}}, {"doc": 7}], "citations": "text"}
    keys = [("resources", 0, "doc"), ("citations", 0, "doc"), ("nix",)]
    assert [field.key for field in ResultFields(result, keys).naming("f")] == [
        ("resources", 2, "doc")
    ]


def test_problems() -> None:
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


@pytest.mark.parametrize("resources", [None, "x", [], ["x"], [{}], [{"id": 7}], [{"id": []}]])
def test_odd_resources_in_a_result(resources: Any) -> None:
    """Of a custom action, which may return anything."""
    resolved = resolve({"id": "d", "resources": resources}, "f", claim("f", "package", ("x",)))
    assert not resolved.is_left_behind(FileRecord("f", Owner("resource", "r"), False))
