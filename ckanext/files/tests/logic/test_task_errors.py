"""Errors of a validator and its task, as in the example of text A, are errors of the field."""

from __future__ import annotations

import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import NotAuthorized, ValidationError
from ckan.logic import schema as core_schema

from ckanext.files.shared import OutOfQueueError, add_task, with_task_queue
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    PINNED,
    UNKNOWN,
    error_at,
    exists,
    new_dataset,
    owner,
    upload,
)

loaded = load_plugins("files", "files_test_forms")

NO_QUEUE = "with_task_queue"


def transfer(dataset: Any, idx: int, prev: Any) -> Any:
    """As in the example, with a field that CKAN has already."""
    dataset = dataset if isinstance(dataset, dict) else portal.shown(dataset)
    return tk.get_action("files_transfer_ownership")(
        {"ignore_auth": True},
        {"id": dataset["url"], "owner_type": "package", "owner_id": dataset["id"], "pin": True},
    )


def valid_attachment(value: Any) -> Any:
    add_task(transfer)
    return value


def create(user: str, file: str, **options: Any) -> Any:
    schema: Any = core_schema.default_create_package_schema()
    schema["url"] = [valid_attachment]
    context: Any = {"user": user, "schema": schema, **options}
    return tk.get_action("package_create")(context, {"name": f"d-{file}", "url": file})


@pytest.mark.parametrize("options", [{}, {"return_id_only": True}])
@pytest.mark.parametrize("what", ["unknown", "pinned"])
def test_file_that_does_not_go(what: str, options: Any, author: str) -> None:
    file = str(uuid.uuid4())
    if what == "pinned":
        (file,) = upload(author)
        new_dataset(author, attachment=file)
    before = owner(file)
    with pytest.raises(ValidationError) as caught:
        create(author, file, **options)
    sentence = UNKNOWN if what == "unknown" else PINNED
    assert sentence in error_at(caught.value.error_dict, ["url"])
    assert not exists("package", f"d-{file}")
    assert owner(file) == before


def test_file_that_goes(author: str) -> None:
    (file,) = upload(author)
    dataset = create(author, file)
    assert owner(file) == ("package", dataset["id"], True)


def test_fields_of_resources_and_other_errors(author: str) -> None:
    """Where no field names the file, the error is what it was."""
    file = str(uuid.uuid4())

    def task(result: Any, idx: int, prev: Any) -> Any:
        data = {"id": file, "owner_type": "package", "owner_id": owner_id}
        return tk.get_action("files_transfer_ownership")({"user": author}, data)

    @with_task_queue
    def action(context: Any, data_dict: Any) -> Any:
        add_task(task)
        return data_dict

    owner_id = new_dataset(author)["id"]
    with pytest.raises(ValidationError) as caught:
        action({}, {"resources": [{"doc": ""}, {"parts": [{"docs": [file]}]}]})
    assert UNKNOWN in error_at(caught.value.error_dict, ["resources", 1, "parts", 0, "docs"])
    with pytest.raises(NotAuthorized):
        action({}, {"doc": "another"})
    owner_id = str(uuid.uuid4())
    with pytest.raises(ValidationError) as caught:
        action({}, {"doc": file})
    assert "not allowed to give files" in error_at(caught.value.error_dict, ["doc"])


def test_validators_without_a_queue() -> None:
    """The error is on the field, and names the remedy."""
    factory: Any = tk.get_validator("files_transfer_ownership")
    for validator in (valid_attachment, factory("package")):
        schema: Any = {"attachment_id": [validator]}
        _, errors = tk.navl_validate({"attachment_id": "x"}, schema)
        assert NO_QUEUE in error_at(errors, ["attachment_id"])
    with pytest.raises(OutOfQueueError, match=NO_QUEUE):
        valid_attachment("x")
