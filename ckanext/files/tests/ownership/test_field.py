"""The arguments of the validator, in the forms in which they arrive."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.errors import FilesError
from ckanext.files.ownership import Field, FieldArgumentError


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("package",), Field("package", "id", True)),
        (("resource", "id"), Field("resource", "id", True)),
        (("group", "name", False), Field("group", "name", False)),
        # as ckanext-scheming hands them on
        (("group", "id", "False"), Field("group", "id", False)),
        (("'package'",), Field("package", "id", True)),
        (('"package"', "'uuid'", "True"), Field("package", "uuid", True)),
        (("'package'", "pin=False"), Field("package", "id", False)),
        (("package", "pin=True"), Field("package", "id", True)),
        (("package", "id_field='code'", "pin=False"), Field("package", "code", False)),
        (("package", "pin=False", "id_field=code"), Field("package", "code", False)),
        (("owner_type=user",), Field("user", "id", True)),
        (("email_domain",), Field("email_domain", "id", True)),
    ],
)
def test_forms(arguments: tuple[Any, ...], field: Field) -> None:
    assert Field.parse(*arguments) == field


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
        Field.parse(*arguments)


@pytest.mark.parametrize("word", ["dataset", "'dataset'", "owner_type=dataset"])
def test_dataset_is_called_package(word: str) -> None:
    with pytest.raises(FilesError, match="'package'"):
        Field.parse(word)


def test_entity() -> None:
    key = ("resources", 3, "parts", 0, "doc")
    assert Field.parse("resource").entity_key(key) == ("resources", 3)
    assert Field.parse("package").entity_key(key) == ()
    assert Field.parse("resource").entity_key(("doc",)) == ()


@pytest.mark.parametrize("entity", [None, [], "x", {}, {"id": None}, {"id": ""}, {"id": 7}])
def test_no_owner(entity: Any) -> None:
    assert Field.parse("package").owner(entity) is None
