"""Deleting a resource returns the errors of the dataset's fields."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError

from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Api, call, error_at, new_dataset, shown

loaded = load_plugins("files", "files_test_forms", "files_test_probe")


@pytest.fixture
def dataset(author: str) -> dict[str, Any]:
    resources = [{"url": "http://example.com", "name": name} for name in "ab"]
    return new_dataset(author, resources=resources)


def fail_with(errors: dict[str, Any]) -> Any:
    def fail(*_: Any) -> None:
        raise ValidationError(errors)

    return fail


@pytest.mark.parametrize(
    "errors",
    [
        {"attachment": ["no"]},
        {"attachment": ["no"], "resources": []},
        {"resources": [{"doc": ["no"]}]},
        {"resources": [{"doc": ["no"]}, {}]},
    ],
)
def test_errors(errors: Any, author: str, dataset: dict[str, Any], hooks: Any) -> None:
    hooks["before:package_update"] = fail_with(errors)
    with pytest.raises(ValidationError) as caught:
        call("resource_delete", author, id=dataset["resources"][0]["id"])
    assert caught.value.error_dict == errors
    assert len(shown(dataset["id"])["resources"]) == 2


def test_other_errors_are_untouched(author: str, dataset: dict[str, Any], hooks: Any) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("mine")

    hooks["before:package_update"] = fail
    with pytest.raises(KeyError, match="mine"):
        call("resource_delete", author, id=dataset["resources"][0]["id"])
    hooks.clear()
    with pytest.raises(tk.ObjectNotFound):
        call("resource_delete", author, id="nix")
    assert call("resource_delete", author, id=dataset["resources"][0]["id"]) is None


def test_over_http(author: str, dataset: dict[str, Any], hooks: Any, loaded: Any) -> None:
    hooks["before:package_update"] = fail_with({"attachment": ["no"]})
    status, answer = Api(loaded()).post("resource_delete", author, id=dataset["resources"][0]["id"])
    assert (status, error_at(answer["error"], ["attachment"])) == (409, "no")
