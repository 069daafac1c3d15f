"""The preset ``files_attachment``: what it stores and shows, and who owns the files then."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from ckan.logic import ValidationError

from ckanext.files.errors import FilesError
from ckanext.files.logic.scheming import files_attachment
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    call,
    error_at,
    new_dataset,
    new_user,
    owner,
    owners,
    resource,
    upload,
)

PRESETS = {
    "scheming__presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
    "scheming__dataset_schemas": "ckanext.files.tests:schemas/preset_dataset.yaml",
    "scheming__group_schemas": "ckanext.files.tests:schemas/preset_group.yaml",
    "scheming__organization_schemas": "ckanext.files.tests:schemas/preset_organization.yaml",
}

loaded = load_plugins(
    "files",
    "scheming_datasets",
    "scheming_nerf_index",
    "scheming_groups",
    "scheming_organizations",
    **PRESETS,
)


@pytest.fixture
def author() -> str:
    return new_user(sysadmin=True)


def create(user: str, **fields: Any) -> dict[str, Any]:
    return new_dataset(user, type="files-preset", title="Dataset", **fields)


def test_dataset_owns_one(author: str) -> None:
    (file,) = upload(author)
    dataset = create(author, attachment=file)
    assert dataset["attachment"] == file
    assert owner(file) == ("package", dataset["id"], True)


def test_dataset_owns_several_in_their_order(author: str) -> None:
    files = upload(author, 3)[::-1]
    dataset = create(author, attachments=files)
    assert dataset["attachments"] == files
    assert owners(*files) == [("package", dataset["id"], True)] * 3


@pytest.mark.parametrize("as_form", [True, False])
def test_empty_choices_of_a_form_do_not_count(author: str, as_form: bool) -> None:
    (file,) = upload(author)
    dataset = create(author, attachments=["", file] if as_form else file)
    assert dataset["attachments"] == [file]
    dataset = call("package_patch", author, id=dataset["id"], attachments="" if as_form else [])
    assert dataset["attachments"] == []
    assert owner(file) == ("package", dataset["id"], True)


def test_fields_that_were_not_sent_are_not_there(author: str) -> None:
    dataset = create(author, resources=[resource(codebook=upload(author)[0])])
    assert not {"attachment", "attachments"} & set(dataset)
    assert "photos" not in dataset["resources"][0]


def test_resource_owns_its_files(author: str) -> None:
    codebook, *photos = upload(author, 3)
    dataset = create(author, resources=[resource(codebook=codebook, photos=photos)])
    (shown,) = dataset["resources"]
    assert (shown["codebook"], shown["photos"]) == (codebook, photos)
    assert owners(codebook, *photos) == [("resource", shown["id"], True)] * 3


def test_subfields(author: str) -> None:
    paper, other, *papers, codebook, plan = upload(author, 6)
    dataset = create(
        author,
        citations=[{"paper": paper}, {"paper": other, "papers": papers}],
        resources=[resource(codebook=codebook, parts=[{"plan": plan}])],
    )
    assert [citation["paper"] for citation in dataset["citations"]] == [paper, other]
    assert dataset["citations"][1]["papers"] == papers
    assert dataset["resources"][0]["parts"] == [{"plan": plan}]
    assert owners(paper, other, *papers) == [("package", dataset["id"], True)] * 4
    assert owner(plan) == ("resource", dataset["resources"][0]["id"], True)


@pytest.mark.parametrize("entity", ["group", "organization"])
def test_groups_and_organizations(author: str, entity: str) -> None:
    logo, *statutes = upload(author, 3)
    fields: dict[str, Any] = {"type": f"files-preset-{entity}", "name": f"g-{uuid.uuid4()}"}
    made = call(f"{entity}_create", author, **fields, logo=logo, statutes=statutes)
    shown = call(f"{entity}_show", author, id=made["id"])
    assert (shown["logo"], shown["statutes"]) == (logo, statutes)
    assert owners(logo, *statutes) == [(entity, made["id"], True)] * 3


@pytest.mark.parametrize("nothing", [None, "", [], [""], "[]"])
def test_required(author: str, nothing: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        create(author, resources=[resource(codebook=nothing)])
    place = ["resources", 0, "codebook"]
    assert error_at(refused.value.error_dict, place) == "Missing value"

    group = {"type": "files-preset-group", "name": f"g-{uuid.uuid4()}", "statutes": nothing}
    with pytest.raises(ValidationError) as refused:
        call("group_create", author, **group)
    assert error_at(refused.value.error_dict, ["statutes"]) == "Missing value"


def test_field_for_one_takes_no_more(author: str) -> None:
    files = upload(author, 2)
    with pytest.raises(ValidationError) as refused:
        create(author, attachment=files)
    assert "Only one file" in error_at(refused.value.error_dict, ["attachment"])
    assert {entry[0] for entry in owners(*files)} == {"user"}
    assert create(author, attachment=files[:1])["attachment"] == files[0]


def test_errors_of_the_files_are_errors_of_the_field(author: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create(author, citations=[{"papers": [str(uuid.uuid4())]}])
    assert "does not exist" in error_at(refused.value.error_dict, ["citations", 0, "papers"])


def test_schema_of_something_else() -> None:
    with pytest.raises(FilesError, match="files_transfer_ownership"):
        files_attachment({"field_name": "attachment"}, {"user_type": "user"})
