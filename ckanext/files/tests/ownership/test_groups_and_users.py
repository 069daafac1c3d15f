"""Files of groups, organizations and users, with schemas in Python and in YAML."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    TWICE,
    UNKNOWN,
    Api,
    call,
    error_at,
    exists,
    history,
    owner,
    owners,
    upload,
)

loaded = load_plugins(
    "files",
    "files_test_forms",
    "files_test_group_forms",
    "files_test_organization_forms",
    "scheming_groups",
    "scheming_organizations",
    scheming__group_schemas="ckanext.files.tests:schemas/group.yaml",
    scheming__organization_schemas="ckanext.files.tests:schemas/organization.yaml",
)


class Kind(NamedTuple):
    entity: str
    type: str | None
    field: str
    second: str


KINDS = [
    Kind("group", "files-group", "logo", "second_logo"),
    Kind("organization", "files-organization", "logo", "second_logo"),
    Kind("group", "files-yaml-group", "logo", "logos"),
    Kind("organization", "files-yaml-organization", "logo", "logos"),
    Kind("user", None, "avatar", "second_avatar"),
]

needs_whole_lists = pytest.mark.skipif(
    not CORE_FILES, reason="CKAN 2.11 drops a list of dicts before any validator sees it"
)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type or kind.entity)


@pytest.fixture
def author() -> str:
    return portal.new_user(sysadmin=True)


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


def create(kind: Kind, user: str, **fields: Any) -> dict[str, Any]:
    return call(f"{kind.entity}_create", user, **data_of(kind), **fields)


def data_of(kind: Kind) -> dict[str, Any]:
    name = f"x-{uuid.uuid4()}"
    if kind.entity == "user":
        return {"name": name, "email": f"{name}@example.com", "password": "12345678"}
    return {"name": name, "type": kind.type}


def update(kind: Kind, user: str, entity: dict[str, Any], **fields: Any) -> dict[str, Any]:
    data = {"id": entity["id"], "name": entity["name"]}
    if kind.entity == "user":
        data["email"] = f"{entity['name']}@example.com"
    else:
        data["type"] = kind.type
    return call(f"{kind.entity}_update", user, **{**data, **fields})


@each_kind
def test_create_and_update(kind: Kind, author: str) -> None:
    files = upload(author, 3)
    entity = create(kind, author, **{kind.field: files[0]})
    assert owner(files[0]) == (kind.entity, entity["id"], True)
    update(kind, author, entity, **{kind.field: files[0], kind.second: files[1]})
    assert owners(*files[:2]) == [(kind.entity, entity["id"], True)] * 2
    # by its name, with the fields the other way round
    named = {"id": entity["name"], "name": entity["name"]}
    update(kind, author, named, **{kind.field: files[1], kind.second: files[2]})
    assert owners(*files) == [(kind.entity, entity["id"], True)] * 3
    assert [len(history(file)) for file in files] == [1, 1, 1]


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.type)
def test_validator_for_another_type(kind: Kind, author: str) -> None:
    """The file would belong to a dataset with the id of the group, which is not there."""
    (file,) = upload(author)
    before = owner(file)
    with pytest.raises(ValidationError) as caught:
        create(kind, author, as_package=file)
    assert "cannot be told what it would" in error_at(caught.value.error_dict, ["as_package"])
    assert owner(file) == before


@each_kind
def test_save_again_by_another_user(kind: Kind, author: str) -> None:
    (file,) = upload(author)
    entity = create(kind, author, **{kind.field: file})
    if kind.entity == "user":
        other = entity["name"]
    else:
        other = portal.new_user()
        member = {"id": entity["id"], "username": other, "role": "admin"}
        call(f"{kind.entity}_member_create", author, **member)
    update(kind, other, entity, title="x", **{kind.field: file})
    assert owner(file) == (kind.entity, entity["id"], True)
    assert len(history(file)) == 1


@each_kind
def test_return_id_only(kind: Kind, author: str) -> None:
    (file,) = upload(author)
    data = {**data_of(kind), kind.field: file}
    result = tk.get_action(f"{kind.entity}_create")({"user": author, "return_id_only": True}, data)
    id_ = result if isinstance(result, str) else result["id"]
    assert owner(file) == (kind.entity, id_, True)


@each_kind
@pytest.mark.parametrize(
    "value",
    [
        7,
        {"a": 1},
        pytest.param([{"a": 1}], marks=needs_whole_lists),
        ["x", ["y"]],
        "\x00",
        "x" * 100_000,
    ],
)
def test_bad_input(kind: Kind, author: str, value: Any, api: Api) -> None:
    data = {**data_of(kind), kind.field: value}
    with pytest.raises(ValidationError) as caught:
        call(f"{kind.entity}_create", author, **data)
    assert portal.NO_ID in error_at(caught.value.error_dict, [kind.field])
    status, answer = api.post(f"{kind.entity}_create", author, **data)
    assert status == 409, answer
    assert portal.NO_ID in error_at(answer["error"], [kind.field])
    assert not exists("user" if kind.entity == "user" else "group", data["name"])


@each_kind
def test_twice_and_unknown(kind: Kind, author: str) -> None:
    (file,) = upload(author)
    entity = create(kind, author)
    before = owner(file)
    with pytest.raises(ValidationError) as caught:
        update(kind, author, entity, **{kind.field: file, kind.second: file})
    assert TWICE in error_at(caught.value.error_dict, [kind.second])
    with pytest.raises(ValidationError) as caught:
        update(kind, author, entity, **{kind.field: "nix"})
    assert UNKNOWN in error_at(caught.value.error_dict, [kind.field])
    assert owner(file) == before


@each_kind
def test_file_goes_nowhere_when_the_action_fails(kind: Kind, author: str) -> None:
    (file,) = upload(author)
    before = owner(file)
    with pytest.raises(ValidationError):
        call(f"{kind.entity}_create", author, **{**data_of(kind), "name": "", kind.field: file})
    assert owner(file) == before
