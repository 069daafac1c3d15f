"""Datasets with long lists of files can be indexed and found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ckanext.files.logic.search_document import MAX_TERM_LENGTH, without_long_lists
from ckanext.files.tests.support.portal import call, new_dataset, owners, resource, upload


def search(query: str) -> list[str]:
    return [d["id"] for d in call("package_search", None, q=query)["results"]]


@pytest.mark.parametrize("field", ["list_after", "list_before", "several", "several_as_text"])
def test_thousand_files_in_one_field(field: str, author: str) -> None:
    dataset_type = "files-yaml" if field.startswith("list") else "files-python"
    files = upload(author, 1000)
    dataset = new_dataset(author, type=dataset_type, title="x", **{field: files})
    assert set(owners(*files)) == {("package", dataset["id"], True)}
    for query in (f"name:{dataset['name']}", f'"{files[777]}"'):
        assert search(query) == [dataset["id"]]
    assert call("package_patch", author, id=dataset["id"], title="again")["title"] == "again"


def test_thousand_files_in_a_subfield_and_in_resources(author: str) -> None:
    inner, outer = upload(author, 1000), upload(author, 1000)
    fields: dict[str, Any] = {"type": "files-yaml", "title": "x", "citations": [{"docs": inner}]}
    dataset = new_dataset(author, **fields, resources=[resource(docs=outer)])
    assert set(owners(*inner)) == {("package", dataset["id"], True)}
    assert set(owners(*outer)) == {("resource", dataset["resources"][0]["id"], True)}
    assert search(f"name:{dataset['name']}") == [dataset["id"]]


def test_only_long_lists_are_left_out() -> None:
    long = json.dumps(["x" * 36] * 1000)
    document: dict[str, Any] = {
        "attachments": long,
        "extras_attachments": long,
        "few": json.dumps(["x" * 36]),
        "text": "[" + "x" * MAX_TERM_LENGTH,
        "bytes": "[" + "ä" * (MAX_TERM_LENGTH // 2) + "]",
        "exactly": "[" + "x" * (MAX_TERM_LENGTH - 2) + "]",
        "surrogate": "[\ud800" + "x" * MAX_TERM_LENGTH + "]",
        "number": 7,
        "list": ["x"],
    }
    kept = without_long_lists(document)
    assert set(document) - set(kept) == {"attachments", "bytes", "surrogate"}
