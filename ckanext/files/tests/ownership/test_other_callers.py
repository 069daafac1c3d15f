"""The validator is called by validators and actions of other extensions, in their own ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.lib.navl.dictization_functions import validate

from ckanext.files.shared import with_task_queue
from ckanext.files.tests.support.form_plugins import FormsPlugin
from ckanext.files.tests.support.planting import plant
from ckanext.files.tests.support.portal import (
    TWICE,
    new_dataset,
    owners,
    refused,
    shown,
    update,
    upload,
)

Caller = Callable[[Any, Any, Any, Any], None]


def own(key: Any, data: Any, errors: Any, context: Any) -> None:
    validator: Any = tk.get_validator("files_transfer_ownership")
    validator("package")(key, data, errors, context)


def with_a_copy_of_the_context(key: Any, data: Any, errors: Any, context: Any) -> None:
    own(key, data, errors, {**context, "reason": "a plugin's"})


def with_errors_of_its_own(key: Any, data: Any, errors: Any, context: Any) -> None:
    found: dict[Any, list[str]] = {key: []}
    with suppress(tk.StopOnError):
        own(key, data, found, context)
    errors[key] += found[key]


def before_another_validation(key: Any, data: Any, errors: Any, context: Any) -> None:
    own(key, data, errors, context)
    _, found = validate({"part": upload(context["user"])[0]}, {"part": [own]}, context)
    assert not found


def before_a_part_of_its_own(key: Any, data: Any, errors: Any, context: Any) -> None:
    own(key, data, errors, context)
    own(("part",), {("part",): upload(context["user"])[0]}, {}, context)


def after_a_part_of_its_own(key: Any, data: Any, errors: Any, context: Any) -> None:
    own(("part",), {("part",): upload(context["user"])[0]}, {}, context)
    own(key, data, errors, context)


@pytest.fixture(
    params=[
        with_a_copy_of_the_context,
        with_errors_of_its_own,
        before_another_validation,
        before_a_part_of_its_own,
        after_a_part_of_its_own,
    ]
)
def caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fields of a dataset have a validator of another extension, which calls ours."""
    schema_of = FormsPlugin._with_files

    def with_caller(self: FormsPlugin, schema: Any) -> Any:
        schema = schema_of(self, schema)
        for name in ("attachment", "second", "several"):
            schema[name][1] = request.param
        return schema

    monkeypatch.setattr(FormsPlugin, "_with_files", with_caller)


@pytest.mark.usefixtures("caller")
def test_file_named_twice(author: str, file: str) -> None:
    with refused(TWICE, "second"):
        new_dataset(author, attachment=file, second=file)


@pytest.mark.usefixtures("caller")
def test_what_is_stored_moves_nothing(author: str) -> None:
    files = upload(author, 3)
    before = owners(*files)
    dataset = new_dataset(author)
    plant("package", dataset["id"], attachment=files[0], several=json.dumps(files[1:]))
    assert update(author, shown(dataset["id"]), title="x")["title"] == "x"
    assert owners(*files) == before


def test_action_that_calls_the_validator_twice_with_one_context(author: str, file: str) -> None:
    """The second call of the action knows nothing of the first one, which failed."""
    data = {("attachment",): file}

    @with_task_queue
    def attach(context: Any, data_dict: Any) -> None:
        own(("attachment",), data, errors, context)
        raise tk.ObjectNotFound

    context, errors = {"user": author}, {("attachment",): []}
    for _ in range(2):
        with pytest.raises(tk.ObjectNotFound):
            attach(context, {})
    assert not any(errors.values())
    assert list(context) == ["user"]
