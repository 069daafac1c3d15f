"""What names files: the arguments of the validator, and the values of a field.

Any bad value is an error on its field, and nothing changes.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.errors import FilesError
from ckanext.files.ownership import FieldArgumentError, FieldArguments
from ckanext.files.ownership.values import MAX_ID_LENGTH, NoFileIdsError, file_ids, is_id, texts
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.users import call, new_user, organization_of, shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("group", "name", False), ("group", "name", False)),
        # as ckanext-scheming hands them on
        (("group", "id", "False"), ("group", "id", False)),
        (('"package"', "'uuid'", "True"), ("package", "uuid", True)),
        (("'package'", "pin=False"), ("package", "id", False)),
        (("package", "pin='False'", "id_field=code"), ("package", "code", False)),
        (("owner_type=user",), ("user", "id", True)),
        (("email_domain",), ("email_domain", "id", True)),
    ],
)
def test_arguments(arguments: tuple[Any, ...], expected: tuple[str, str, bool]) -> None:
    assert FieldArguments.parse(*arguments) == FieldArguments(*expected)


@pytest.mark.parametrize(
    "arguments",
    [
        *[("",), (None,), (7,), ("package resource",), ("'package",), (["package"],)],
        *[("package", ""), ("package", 1), ("package", "pinned=True")],
        *[("package", "id", pin) for pin in ("maybe", "false", None, 1)],
    ],
)
def test_any_other_argument_is_refused_with_the_right_form(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(FieldArgumentError, match="files_transfer_ownership\\(package\\)"):
        FieldArguments.parse(*arguments)


@pytest.mark.parametrize("word", ["'dataset'", "owner_type=dataset"])
def test_dataset_is_called_package(word: str) -> None:
    with pytest.raises(FilesError, match="'package'"):
        FieldArguments.parse(word)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("organisation", "organization"),
        *[("Package", "package"), ("packages", "package"), ("'resources'", "resource")],
    ],
)
def test_a_misspelt_type_is_refused(word: str, meant: str) -> None:
    with pytest.raises(FieldArgumentError, match=f"Did you mean '{meant}'"):
        FieldArguments.parse(word)


@pytest.mark.parametrize("entity", [None, [], "x", {}, {"id": None}, {"id": ""}, {"id": 7}])
def test_entity_without_an_id(entity: Any) -> None:
    assert FieldArguments.parse("package").owner(entity) is None


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (("a",), ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("x" * MAX_ID_LENGTH, ["x" * MAX_ID_LENGTH]),
        (["", None, "a"], ["a"]),
        ("['', 'a']", ["a"]),
        *[(empty, []) for empty in (None, tk.missing, "", [], "[]")],
    ],
)
def test_ids(value: Any, ids: list[str]) -> None:
    assert file_ids(value) == ids


@given(JSON | JSON.map(json.dumps) | JSON.map(str) | st.binary())
def test_nothing_else_passes(value: Any) -> None:
    assert all(isinstance(text, str) for text in texts(value))
    try:
        ids = file_ids(value)
    except NoFileIdsError:
        return
    assert all(is_id(id_) for id_ in ids)
    for id_ in ids:
        id_.encode()
        assert "\x00" not in id_


@given(st.lists(st.text(alphabet="abc-'\"\\ [],é", min_size=1, max_size=9)))
def test_a_list_is_the_same_in_any_form(ids: list[str]) -> None:
    assert file_ids(json.dumps(ids)) == ids
    try:
        assert file_ids(str(ids)) == ids
    except NoFileIdsError:
        assert any("'" in id_ or "\\" in id_ for id_ in ids)


def test_texts_of_lists_in_json_in_dicts() -> None:
    value = {"docs": json.dumps(["a", json.dumps(["b"])]), "parts": [{"doc": "c"}, "['d']"], "n": 1}
    assert sorted(texts(value)) == ["a", "b", "c", "d"]
    assert list(texts("[" * 900 + '"a"' + "]" * 900)) == ["a"]
    assert len(list(texts("[" * 90_000 + "]" * 90_000))) == 1


# fields of an action

A_FILE = "<a file of the user's own>"

VALUES: dict[str, tuple[Any, str]] = {
    "number": (7, portal.NO_ID),
    "false": (False, portal.NO_ID),
    "dict": ({"id": A_FILE}, portal.NO_ID),
    "empty dict": ({}, portal.NO_ID),
    "list of dicts": ([{"id": A_FILE}], portal.NO_ID),
    "list with a dict behind": ([A_FILE, {"id": A_FILE}], portal.NO_ID),
    "list with a nested list": ([A_FILE, [A_FILE]], portal.NO_ID),
    "JSON of a nested list": ('[["a"]]', portal.NO_ID),
    "cut off JSON": ('["a", "b', portal.NO_ID),
    "very deep JSON": ("[" * 50_000, portal.NO_ID),
    "very deep JSON that is closed": ("[" * 800 + "]" * 800, portal.NO_ID),
    "number of many digits": ("[" + "9" * 10_000 + "]", portal.NO_ID),
    "NUL": ("\x00", portal.NO_ID),
    "half a surrogate pair": ("\ud800", portal.NO_ID),
    "line break": ("a\nb", portal.NO_ID),
    "100,000 characters": ("x" * 100_000, portal.NO_ID),
    "space": (" ", portal.UNKNOWN),
    "unknown id": ("00000000-0000-4000-8000-000000000000", portal.UNKNOWN),
    "list with an unknown id": ([A_FILE, "unknown"], portal.UNKNOWN),
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
    return portal.upload(author)[0]


@pytest.fixture(scope="module")
def dataset(author: str) -> dict[str, Any]:
    resources = [portal.resource(name) for name in "abc"]
    return portal.new_dataset(author, attachment=portal.upload(author)[0], resources=resources)


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


def _refused_over_http(api: portal.Api, action: str, user: str, **data: Any) -> Any:
    status, answer = api.post(action, user, **data)
    assert status == 409, answer
    assert answer["error"].pop("__type") == "Validation Error"
    return answer["error"]


def with_field(dataset: dict[str, Any], key: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = {**dataset, "resources": [dict(r) for r in dataset["resources"]]}
    entity = changed
    for step in key[:-1]:
        entity = entity[step]
    entity[key[-1]] = value
    return changed


@pytest.mark.parametrize("case", VALUES)
def test_bad_value(
    case: str, author: str, file: str, dataset: dict[str, Any], refuse: Refuse
) -> None:
    value = json.loads(json.dumps(VALUES[case][0]).replace(A_FILE, file))
    before = (portal.owner(file), shown(dataset["id"]))
    name = f"d-{uuid.uuid4()}"
    new = {"type": DATASET_TYPE, "name": name, "attachment": value}
    calls: list[tuple[str, Any, tuple[Any, ...]]] = [
        *(("package_update", with_field(before[1], key, value), key) for key in FIELDS.values()),
        ("resource_update", {**before[1]["resources"][2], "doc": value}, ("doc",)),
        ("package_create", new, ("attachment",)),
    ]
    for action, data, key in calls:
        errors = refuse(action, author, **data)
        if case == TAKEN_APART and not CORE_FILES:
            assert list(errors) == ["__junk"]
        else:
            assert VALUES[case][1] in portal.error_at(errors, key)
    assert not portal.exists("package", name)
    assert (portal.owner(file), shown(dataset["id"])) == before


@pytest.mark.parametrize("empty", [None, "", [], "[]", [""]])
def test_empty_is_fine(empty: Any, author: str, dataset: dict[str, Any], api: portal.Api) -> None:
    data = shown(dataset["id"])
    for key in FIELDS.values():
        data = with_field(data, key, empty)
    call("package_update", author, **{**data, "title": "in Python"})
    status, answer = api.post("package_update", author, **{**data, "title": "over HTTP"})
    assert status == 200, answer


@pytest.mark.parametrize("value", [[""], [None], ["", None], '[""]', "[null]", "['']"])
def test_list_of_nothing(value: Any, author: str) -> None:
    fields = dict.fromkeys(("attachment", "several", "several_as_text"), value)
    resources = [portal.resource(docs=value, doc=value)]
    dataset = portal.new_dataset(author, **fields, resources=resources)
    assert not any(dataset.get(name) for name in fields)
    assert not dataset["resources"][0].keys() & {"doc", "docs"}
    call("package_patch", author, id=dataset["id"], several=portal.upload(author))
    assert not call("package_patch", author, id=dataset["id"], several=value).get("several")


def test_file_that_may_not_be_used(author: str, dataset: dict[str, Any], refuse: Refuse) -> None:
    """Only a user who may edit the file learns that it is pinned, or that it exists."""
    elsewhere, to_the_user, deleted = portal.upload(author, 3)
    portal.new_dataset(author, attachment=elsewhere)
    call("file_pin", author, id=to_the_user)
    portal.delete_file(deleted)
    stranger = new_user()
    theirs, private = portal.upload(stranger, 2)
    portal.new_dataset(stranger, owner_org=organization_of(stranger), attachment=private)
    pinned, unknown = [elsewhere, to_the_user], [deleted, theirs, private, str(uuid.uuid4())]
    before, stored = portal.owners(*pinned, *unknown), shown(dataset["id"])
    for id_ in pinned + unknown:
        sentence = f"File {id_} {portal.PINNED if id_ in pinned else portal.UNKNOWN}"
        for key in FIELDS.values():
            errors = refuse("package_update", author, **with_field(stored, key, id_))
            assert portal.error_at(errors, key) == sentence
    assert portal.owners(*pinned, *unknown) == before


def test_anonymous_visitor_who_registers(api: portal.Api, author: str) -> None:
    """They have no file yet, so there is none that they may name."""
    (file,) = portal.upload(author)
    name = f"u-{uuid.uuid4()}"
    with portal.refused(portal.UNKNOWN, "avatar"):
        call("user_create", "", name=name, email=f"{name}@x.org", password="12345678", avatar=file)
    status, _ = api.post("package_create", None, type=DATASET_TYPE, name=name, attachment=file)
    assert status == 403
