"""The arguments of the validator, in the forms in which they arrive."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.errors import FilesError
from ckanext.files.ownership import FieldArgumentError, FieldArguments


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("package",), FieldArguments("package", "id", True)),
        (("resource", "id"), FieldArguments("resource", "id", True)),
        (("group", "name", False), FieldArguments("group", "name", False)),
        # as ckanext-scheming hands them on
        (("group", "id", "False"), FieldArguments("group", "id", False)),
        (("'package'",), FieldArguments("package", "id", True)),
        (('"package"', "'uuid'", "True"), FieldArguments("package", "uuid", True)),
        (("'package'", "pin=False"), FieldArguments("package", "id", False)),
        (("package", "pin=True"), FieldArguments("package", "id", True)),
        (("package", "id_field='code'", "pin=False"), FieldArguments("package", "code", False)),
        (("package", "pin=False", "id_field=code"), FieldArguments("package", "code", False)),
        (("owner_type=user",), FieldArguments("user", "id", True)),
        (("email_domain",), FieldArguments("email_domain", "id", True)),
    ],
)
def test_forms(arguments: tuple[Any, ...], expected: FieldArguments) -> None:
    assert FieldArguments.parse(*arguments) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        (None,),
        (7,),
        ("package resource",),
        ("'package",),
        ("package", ""),
        ("package", 1),
        ("package", "id", "maybe"),
        ("package", "id", "false"),
        ("package", "id", None),
        ("package", "id", 1),
        ("package", "pinned=True"),
        (["package"],),
    ],
)
def test_anything_else_is_refused_with_the_right_form(arguments: tuple[Any, ...]) -> None:
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
def test_no_owner(entity: Any) -> None:
    assert FieldArguments.parse("package").owner(entity) is None
