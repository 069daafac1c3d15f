"""Any bad value of a field is an error on that field, and nothing changes."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from ckan.logic import ValidationError

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.portal import (
    NO_ID,
    PINNED,
    UNKNOWN,
    Api,
    call,
    delete_file,
    error_at,
    exists,
    new_dataset,
    new_user,
    organization_of,
    owner,
    owners,
    refused,
    resource,
    shown,
    upload,
)

A_FILE = "<a file of the user's own>"

VALUES: dict[str, tuple[Any, str]] = {
    "number": (7, NO_ID),
    "zero": (0, NO_ID),
    "float": (0.5, NO_ID),
    "true": (True, NO_ID),
    "false": (False, NO_ID),
    "dict": ({"id": A_FILE}, NO_ID),
    "empty dict": ({}, NO_ID),
    "list of dicts": ([{"id": A_FILE}], NO_ID),
    "list with a dict behind": ([A_FILE, {"id": A_FILE}], NO_ID),
    "list of numbers": ([1, 2], NO_ID),
    "nested list": ([[A_FILE]], NO_ID),
    "list with a nested list": ([A_FILE, [A_FILE]], NO_ID),
    "JSON of a nested list": ('[["a"]]', NO_ID),
    "JSON of numbers": ("[1, 2]", NO_ID),
    "cut off JSON": ('["a", "b', NO_ID),
    "very deep JSON": ("[" * 50_000, NO_ID),
    "very deep JSON that is closed": ("[" * 800 + "]" * 800, NO_ID),
    "number of many digits": ("[" + "9" * 10_000 + "]", NO_ID),
    "NUL": ("\x00", NO_ID),
    "NUL in an id": ("abc\x00def", NO_ID),
    "NUL in a list": (["abc\x00def"], NO_ID),
    "half a surrogate pair": ("\ud800", NO_ID),
    "half a surrogate pair in JSON": ('["\\ud800"]', NO_ID),
    "line break": ("a\nb", NO_ID),
    "100,000 characters": ("x" * 100_000, NO_ID),
    "100,000 characters in a list": (["x" * 100_000], NO_ID),
    "space": (" ", UNKNOWN),
    "unknown id": ("00000000-0000-4000-8000-000000000000", UNKNOWN),
    "list with an unknown id": ([A_FILE, "unknown"], UNKNOWN),
    "SQL": ("' OR 1=1 --", UNKNOWN),
    "name of another script": ("файл", UNKNOWN),
}

FIELDS = {
    "dataset": ("attachment",),
    "list before": ("several",),
    "resource": ("resources", 1, "doc"),
    "list of a resource": ("resources", 1, "docs"),
}

TAKEN_APART = "list of dicts"
"""CKAN 2.11 takes it apart before a validator sees it, and refuses it as unexpected input."""

Refuse = Callable[..., Any]


@pytest.fixture(scope="module")
def author(loaded: Any) -> str:
    return new_user()


@pytest.fixture(scope="module")
def file(author: str) -> str:
    return upload(author)[0]


@pytest.fixture(scope="module")
def dataset(author: str) -> dict[str, Any]:
    resources = [resource(name) for name in "abc"]
    return new_dataset(author, attachment=upload(author)[0], resources=resources)


@pytest.fixture(params=["python", "http"])
def refuse(request: pytest.FixtureRequest) -> Refuse:
    """Call an action, and return the errors with which it is refused."""
    if request.param == "http":
        return functools.partial(_refused_over_http, request.getfixturevalue("api"))
    return _refused_in_python


def _refused_in_python(action: str, user: str, **data: Any) -> Any:
    with pytest.raises(ValidationError) as caught:
        call(action, user, **data)
    return caught.value.error_dict


def _refused_over_http(api: Api, action: str, user: str, **data: Any) -> Any:
    status, answer = api.post(action, user, **data)
    assert status == 409, answer
    assert answer["error"].pop("__type") == "Validation Error"
    return answer["error"]


def filled(value: Any, file: str) -> Any:
    """Put a real file into a value of the table."""
    if isinstance(value, dict):
        return {key: filled(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, file) for item in value]
    return file if value == A_FILE else value


def with_field(dataset: dict[str, Any], key: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = {**dataset, "resources": [dict(r) for r in dataset["resources"]]}
    entity = changed
    for step in key[:-1]:
        entity = entity[step]
    entity[key[-1]] = value
    return changed


@pytest.mark.parametrize("case", [case for case in VALUES if CORE_FILES or case != TAKEN_APART])
def test_bad_value(
    case: str, author: str, file: str, dataset: dict[str, Any], refuse: Refuse
) -> None:
    value, sentence = filled(VALUES[case][0], file), VALUES[case][1]
    before = (owner(file), shown(dataset["id"]))
    for key in FIELDS.values():
        data = with_field(before[1], key, value)
        assert sentence in error_at(refuse("package_update", author, **data), key)

    data = {**before[1]["resources"][2], "doc": value}
    assert sentence in error_at(refuse("resource_update", author, **data), ["doc"])

    data = {"type": DATASET_TYPE, "name": f"d-{uuid.uuid4()}", "attachment": value}
    assert sentence in error_at(refuse("package_create", author, **data), ["attachment"])
    assert not exists("package", data["name"])
    assert (owner(file), shown(dataset["id"])) == before


@pytest.mark.skipif(CORE_FILES, reason="CKAN 2.12 leaves lists of dicts to validators")
def test_list_that_is_taken_apart(
    author: str, file: str, dataset: dict[str, Any], refuse: Refuse
) -> None:
    before = (owner(file), shown(dataset["id"]))
    data = with_field(before[1], FIELDS["dataset"], filled(VALUES[TAKEN_APART][0], file))
    assert list(refuse("package_update", author, **data)) == ["__junk"]
    assert (owner(file), shown(dataset["id"])) == before


@pytest.mark.parametrize("empty", [None, "", [], "[]", [""], [None], "['']"])
def test_empty_is_fine(empty: Any, author: str, dataset: dict[str, Any], api: Api) -> None:
    data = shown(dataset["id"])
    for key in FIELDS.values():
        data = with_field(data, key, empty)
    call("package_update", author, **{**data, "title": "in Python"})
    status, answer = api.post("package_update", author, **{**data, "title": "over HTTP"})
    assert status == 200, answer


@pytest.mark.parametrize("value", [[""], [None], ["", None], '[""]', "[null]", "['']"])
def test_list_of_nothing(value: Any, author: str) -> None:
    fields = dict.fromkeys(("attachment", "several", "several_as_text"), value)
    dataset = new_dataset(author, **fields, resources=[resource(docs=value, doc=value)])
    assert not any(dataset.get(name) for name in fields)
    assert not dataset["resources"][0].keys() & {"doc", "docs"}
    call("package_patch", author, id=dataset["id"], several=upload(author))
    assert not call("package_patch", author, id=dataset["id"], several=value).get("several")


def test_file_that_may_not_be_used(author: str, dataset: dict[str, Any], refuse: Refuse) -> None:
    """Only a user who may edit the file learns that it is pinned, or that it exists."""
    elsewhere, to_the_user, deleted = upload(author, 3)
    new_dataset(author, attachment=elsewhere)
    call("file_pin", author, id=to_the_user)
    delete_file(deleted)
    stranger = new_user()
    theirs, private = upload(stranger, 2)
    new_dataset(stranger, owner_org=organization_of(stranger), attachment=private)
    pinned, unknown = [elsewhere, to_the_user], [deleted, theirs, private, str(uuid.uuid4())]
    before, stored = owners(*pinned, *unknown), shown(dataset["id"])
    for id_ in pinned + unknown:
        for key in FIELDS.values():
            errors = refuse("package_update", author, **with_field(stored, key, id_))
            assert error_at(errors, key) == f"File {id_} {PINNED if id_ in pinned else UNKNOWN}"
    assert owners(*pinned, *unknown) == before


def test_anonymous_visitor_who_registers(api: Api, author: str) -> None:
    """They have no file yet, so there is none that they may name."""
    (file,) = upload(author)
    name = f"u-{uuid.uuid4()}"
    with refused(UNKNOWN, "avatar"):
        call("user_create", "", name=name, email=f"{name}@x.org", password="12345678", avatar=file)
    status, _ = api.post("package_create", None, type=DATASET_TYPE, name=name, attachment=file)
    assert status == 403
