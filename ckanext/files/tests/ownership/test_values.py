"""What names files, and what does not."""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckanext.files.ownership.values import MAX_ID_LENGTH, NoFileIdsError, file_ids, is_id, texts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


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
        # empty
        (None, []),
        (tk.missing, []),
        ("", []),
        ([], []),
        ("[]", []),
        (["", None, "a"], ["a"]),
        ("['', 'a']", ["a"]),
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
