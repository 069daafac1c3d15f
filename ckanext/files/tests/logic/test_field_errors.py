"""Errors of tasks, and of fields while a resource is deleted, are errors of the fields."""

from __future__ import annotations

import uuid
from typing import Any
from unittest.mock import Mock

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import NotAuthorized, ValidationError
from ckan.logic import schema as core_schema

from ckanext.files.shared import OutOfQueueError, add_task, with_task_queue
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.users import call, shown

NO_QUEUE = "with_task_queue"

# a validator that queues a task, which transfers the file


def transfer(dataset: Any, idx: int, prev: Any) -> Any:
    """Transfer the file that ``url`` names, a field that each dataset has."""
    dataset = dataset if isinstance(dataset, dict) else shown(dataset)
    target = {"owner_type": "package", "owner_id": dataset["id"]}
    return call("files_transfer_ownership", None, id=dataset["url"], **target, pin=True)


def valid_attachment(value: Any) -> Any:
    add_task(transfer)
    return value


def create(user: str, file: str, **options: Any) -> Any:
    schema: Any = core_schema.default_create_package_schema()
    schema["url"] = [valid_attachment]
    context: Any = {"user": user, "schema": schema, **options}
    return tk.get_action("package_create")(context, {"name": f"d-{file}", "url": file})


@pytest.mark.parametrize("options", [{}, {"return_id_only": True}])
def test_file_that_does_not_go(options: Any, author: str, file: str) -> None:
    portal.new_dataset(author, attachment=file)
    for id_, sentence in ((file, portal.PINNED), (str(uuid.uuid4()), portal.UNKNOWN)):
        before = portal.owner(id_)
        with portal.refused(sentence, "url"):
            create(author, id_, **options)
        assert not portal.exists("package", f"d-{id_}")
        assert portal.owner(id_) == before


def test_file_that_goes(author: str, file: str) -> None:
    with count_commits() as commits:
        dataset = create(author, file)
    assert len(commits) == 1
    assert portal.owner(file) == ("package", dataset["id"], True)


def test_fields_of_resources_and_other_errors(author: str) -> None:
    """Where no field names the file, the error is what it was."""
    file, owner_id = str(uuid.uuid4()), portal.new_dataset(author)["id"]

    def task(result: Any, idx: int, prev: Any) -> Any:
        data = {"id": file, "owner_type": "package", "owner_id": owner_id}
        return call("files_transfer_ownership", author, **data)

    @with_task_queue
    def action(context: Any, data_dict: Any) -> Any:
        add_task(task)
        return data_dict

    with portal.refused(portal.UNKNOWN, "resources", 1, "parts", 0, "docs"):
        action({}, {"resources": [{"doc": ""}, {"parts": [{"docs": [file]}]}]})
    with pytest.raises(NotAuthorized):
        action({}, {"doc": "another"})
    owner_id = str(uuid.uuid4())
    with portal.refused("not allowed to give files", "doc"):
        action({}, {"doc": file})


def test_validators_without_a_queue() -> None:
    """The error is on the field, and names the remedy."""
    factory: Any = tk.get_validator("files_transfer_ownership")
    for validator in (valid_attachment, factory("package")):
        schema: Any = {"attachment_id": [validator]}
        _, errors = tk.navl_validate({"attachment_id": "x"}, schema)
        assert NO_QUEUE in portal.error_at(errors, ["attachment_id"])
    with pytest.raises(OutOfQueueError, match=NO_QUEUE):
        valid_attachment("x")


# CKAN looks for errors of resource_delete among the errors of the resource only


@pytest.fixture
def dataset(author: str) -> dict[str, Any]:
    return portal.new_dataset(author, resources=[portal.resource("a"), portal.resource("b")])


def test_resource_delete(author: str, dataset: dict[str, Any], hooks: Any, api: portal.Api) -> None:
    id_ = dataset["resources"][0]["id"]
    places: list[dict[str, Any]] = [
        {"attachment": ["no"]},
        {"attachment": ["no"], "resources": []},
        {"resources": [{"doc": ["no"]}]},
        {"resources": [{"doc": ["no"]}, {}]},
    ]
    for errors in places:
        hooks["before:package_update"] = Mock(side_effect=ValidationError(errors))
        with pytest.raises(ValidationError) as caught:
            call("resource_delete", author, id=id_)
        assert caught.value.error_dict == errors
        assert len(shown(dataset["id"])["resources"]) == 2
    hooks["before:package_update"] = Mock(side_effect=ValidationError(places[0]))
    status, answer = api.post("resource_delete", author, id=id_)
    assert (status, portal.error_at(answer["error"], ["attachment"])) == (409, "no")


def test_other_errors_of_resource_delete(author: str, dataset: dict[str, Any], hooks: Any) -> None:
    hooks["before:package_update"] = Mock(side_effect=KeyError("mine"))
    with pytest.raises(KeyError, match="mine"):
        call("resource_delete", author, id=dataset["resources"][0]["id"])
    hooks.clear()
    with pytest.raises(tk.ObjectNotFound):
        call("resource_delete", author, id="nix")
    assert call("resource_delete", author, id=dataset["resources"][0]["id"]) is None
