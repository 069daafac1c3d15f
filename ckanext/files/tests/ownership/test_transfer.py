"""Find the owners of files in what an action returns, and transfer files that change meanwhile."""

from __future__ import annotations

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
    transfer_together,
)
from ckanext.files.ownership.owners import DatasetScope
from ckanext.files.ownership.request_fields import Claim, RequestField
from ckanext.files.ownership.resolved_owners import ResolvedOwners
from ckanext.files.ownership.results import FieldErrors
from ckanext.files.ownership.stored_fields import StoredFields
from ckanext.files.store import FileRecord, Owner, OwnerChange, read_files
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.portal import OWNERS, owners, put

A, B, C = (Owner("package", id_) for id_ in "abc")
FILE = FileRecord("f", Owner("resource", "former"), False)


def resolve(result: Any, *key: Any) -> ResolvedOwners:
    """Look for the owner of the file ``f`` that a field of a resource has named."""
    nothing: Any = None
    scope, stored = DatasetScope(nothing, None), StoredFields(nothing, "", None)
    field = RequestField(FieldArguments.parse("resource"), key, None, None, scope, stored)
    return ResolvedOwners(result, {"f": Claim(FILE, field)}, Actor({"user": ""}))


def test_field_that_a_plugin_shows_as_a_link() -> None:
    resources = [{"id": "r0"}, {"id": "r1", "link": "/file/download/f"}]
    resolved = resolve({"id": "d", "resources": resources}, "resources", 0, "link")
    assert resolved.changes["f"].owner == ("resource", "r1")


@pytest.mark.parametrize("resources", [None, "x", [], ["x"], [{}], [{"id": 7}], [{"id": []}]])
def test_odd_result(resources: Any) -> None:
    """Of a custom action, which may return anything."""
    key = ("resources", 0, "doc")
    for result in (resources, {"id": "d", "resources": resources}):
        assert not resolve(result, *key).changes
    found = {"id": "d", "resources": [{"id": "new", "doc": "f"}, *(resources or ())]}
    assert not resolve(found, *key).is_left_behind(FILE)


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
    errors.add(("resources", 2, "parts"), "e")
    with pytest.raises(ValidationError) as caught:
        errors.check()
    nested: Any = caught.value.error_dict
    assert nested["resources"][2] == {"parts": ["e", "b"]}


def give_together(files: list[str], refusal_of: Any) -> list[str]:
    changes = dict.fromkeys(files, OwnerChange(A, True))
    records = read_files(model.Session(), changes)
    return transfer_together(model.Session(), records, changes, refusal_of, "me")


def change_elsewhere(statement: str, **parameters: str) -> None:
    """Change the owners of files in another transaction."""
    with engine().begin() as other:
        other.execute(sa.text(statement), parameters)


def test_owner_that_appears_meanwhile() -> None:
    """CKAN's own transfer of a file without an owner is not kept off by any lock."""
    free, theirs = *put(None), *put(B)
    columns = "(file_id, owner_type, owner_id, pinned)"
    insert = f"INSERT INTO {OWNERS} {columns} VALUES (:id, 'package', 'c', false)"

    def refusal_of(file_id: str, file: Any) -> Refusal | None:
        if file.owner is None:
            change_elsewhere(insert, id=file_id)
        return None

    with pytest.raises(TransferRefusedError) as caught:
        give_together([free, theirs], refusal_of)
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

    if refused == "c":
        with pytest.raises(TransferRefusedError) as caught:
            give_together([first, second], refusal_of)
        assert caught.value.refusals == {first: Refusal.UNKNOWN}
    else:
        assert sorted(give_together([first, second], refusal_of)) == sorted([first, second])
    assert seen == ["b", "b", "c"]
    model.Session.rollback()
