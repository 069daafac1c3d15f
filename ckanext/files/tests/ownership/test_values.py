"""What the arguments of the validator mean, and which values of a field name files."""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckanext.files.errors import FilesError
from ckanext.files.ownership import FieldArgumentError, FieldArguments
from ckanext.files.ownership.values import MAX_ID_LENGTH, NoFileIdsError, file_ids, is_id, texts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("package",), ("package", "id", True)),
        (("resource", "id"), ("resource", "id", True)),
        (("group", "name", False), ("group", "name", False)),
        # as ckanext-scheming hands them on
        (("group", "id", "False"), ("group", "id", False)),
        (("'package'",), ("package", "id", True)),
        (('"package"', "'uuid'", "True"), ("package", "uuid", True)),
        (("'package'", "pin=False"), ("package", "id", False)),
        (("package", "pin=True"), ("package", "id", True)),
        (("package", "id_field='code'", "pin=False"), ("package", "code", False)),
        (("package", "pin=False", "id_field=code"), ("package", "code", False)),
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


@pytest.mark.parametrize("word", ["dataset", "'dataset'", "owner_type=dataset"])
def test_dataset_is_called_package(word: str) -> None:
    with pytest.raises(FilesError, match="'package'"):
        FieldArguments.parse(word)


def test_entity() -> None:
    key = ("resources", 3, "parts", 0, "doc")
    assert FieldArguments.parse("resource").entity_key(key) == ("resources", 3)
    assert FieldArguments.parse("package").entity_key(key) == ()
    assert FieldArguments.parse("resource").entity_key(("doc",)) == ()


@pytest.mark.parametrize("entity", [None, [], "x", {}, {"id": None}, {"id": ""}, {"id": 7}])
def test_entity_without_an_id(entity: Any) -> None:
    assert FieldArguments.parse("package").owner(entity) is None


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ('["a","b"]', ["a", "b"]),
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


@given(JSON)
def test_texts_ends_with_anything(value: Any) -> None:
    assert all(isinstance(text, str) for text in texts(value))


def test_texts_of_lists_in_json_in_dicts() -> None:
    value = {"docs": json.dumps(["a", json.dumps(["b"])]), "parts": [{"doc": "c"}, "['d']"], "n": 1}
    assert sorted(texts(value)) == ["a", "b", "c", "d"]
    assert list(texts("[" * 900 + '"a"' + "]" * 900)) == ["a"]
    assert len(list(texts("[" * 90_000 + "]" * 90_000))) == 1
