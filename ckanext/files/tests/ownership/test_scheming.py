"""Fields in schemas of ckanext-scheming: lists, repeating subfields and the preset."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from ckanext.files.errors import FilesError
from ckanext.files.logic.scheming import files_attachment
from ckanext.files.tests.support.portal import (
    TWICE,
    UNKNOWN,
    call,
    history,
    new_dataset,
    new_user,
    owner,
    owners,
    refused,
    resource,
    shown,
    update,
    upload,
)

COUNT = 22

# (CKAN leaves empty dicts out of what it validates, and counts its errors without them)
BAD: list[Any] = [7, 0.5, True, {"a": 1}, "\x00", "\ud800", "x" * 100_000, "nix", "[[1]]"]
BAD_LISTS: list[Any] = [7, {"a": 1}, ["nix"], ["\x00"], ["x" * 100_000]]


def new(user: str, **fields: Any) -> dict[str, Any]:
    return new_dataset(user, type="files-yaml", title="Dataset", **fields)


def new_with_preset(user: str, **fields: Any) -> dict[str, Any]:
    return new_dataset(user, type="files-preset", title="Dataset", **fields)


def assert_everything_is_owned(dataset: dict[str, Any], files: list[str]) -> None:
    """Everything that a dataset names belongs to it, or to the resource that names it."""
    top = [dataset.get("attachment"), dataset.get("quoted")]
    top += [*dataset["list_before"], *dataset["list_after"], *_of_parts(dataset.get("citations"))]
    expected = {id_: ("package", dataset["id"]) for id_ in top if id_}
    for item in dataset["resources"]:
        inner = [item.get("doc"), *item["docs"], *_of_parts(item.get("parts"))]
        expected |= {id_: ("resource", item["id"]) for id_ in inner if id_}
    assert set(expected) == set(files)
    found = [found and found[:2] for found in owners(*expected)]
    assert found == list(expected.values())


def _of_parts(parts: Any) -> list[str]:
    return [id_ for part in parts or [] for id_ in [part.get("doc"), *_as_list(part.get("docs"))]]


def _as_list(value: Any) -> list[str]:
    return json.loads(value) if isinstance(value, str) else value or []


def everything(files: list[str]) -> dict[str, Any]:
    """Return a dataset in which 22 files are in all kinds of places."""
    f = iter(files)
    take = lambda: next(f)  # noqa: E731
    return {
        "attachment": take(),
        "quoted": take(),
        "list_before": [take(), take()],
        "list_after": [take(), take()],
        "citations": [
            {"doc": take()},
            {"docs": [take(), take()]},
            {"doc": take(), "docs": [take()]},
        ],
        "resources": [
            resource(doc=take(), docs=[take(), take()]),
            resource(),
            resource(
                doc=take(), parts=[{"doc": take()}, {"doc": take(), "docs": [take(), take()]}]
            ),
            resource(docs=[take()], parts=[{"doc": ""}, {"docs": [take(), take()]}]),
        ],
    }


def test_all_places_at_once(author: str) -> None:
    files = upload(author, COUNT)
    dataset = new(author, **everything(files))
    assert_everything_is_owned(dataset, files)
    # saving again changes nothing
    dataset = update(author, dataset, title="again")
    dataset["resources"][2]["name"] = "changed"
    dataset = update(author, dataset)
    assert_everything_is_owned(dataset, files)
    assert {len(history(file)) for file in files} == {1}
    # in another order, with resources that come without ids, so that all of them are new
    dataset = update(author, dataset, **everything(files[7:] + files[:7]))
    assert_everything_is_owned(dataset, files)


def test_pin(author: str) -> None:
    files = upload(author, 2)
    dataset = new(author, attachment=files[0], quoted=files[1])
    assert owners(*files) == [("package", dataset["id"], True), ("package", dataset["id"], False)]


def test_form_with_composite_names(author: str) -> None:
    """What the web form of ckanext-scheming sends."""
    files = upload(author, 3)
    fields = {"citations-0-doc": files[0], "citations-1-docs": [files[1], ""]}
    assert_everything_is_owned(new(author, **fields, list_before=files[2]), files)


def test_twice_across_places(author: str, file: str) -> None:
    with refused(TWICE, "citations", 1, "doc"):
        new(author, attachment=file, citations=[{"doc": ""}, {"doc": file}])
    with refused(TWICE, "list_before"):
        new(author, list_before=[file], list_after=[file])
    with refused(TWICE, "resources", 0, "docs"):
        new(author, resources=[resource(doc=file, docs=[file])])
    parts = [[{"doc": file}], [{"doc": ""}, {"docs": [file]}]]
    with refused(TWICE, "resources", 1, "parts", 1, "docs"):
        new(author, resources=[resource(parts=part) for part in parts])
    assert owner(file)[0] == "user"


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    files = upload(author, 2)
    resources = [resource(parts=[{"doc": files[0]}]), resource(doc=files[1])]
    dataset = new(author, resources=resources)
    dataset["resources"][1]["doc"] = files[0]
    with refused(TWICE, "resources", 1, "doc"):
        update(author, dataset)
    dataset = shown(dataset["id"])
    dataset["resources"][0]["parts"] += [{"docs": [files[1]]}]
    with refused(TWICE, "resources", 0, "parts", 1, "docs"):
        update(author, dataset)


def test_bad_input(author: str) -> None:
    before = shown(new(author, resources=[resource(), resource()])["id"])

    def assert_refused(*key: Any, **fields: Any) -> None:
        with refused("", *key):
            update(author, before, **fields)

    def second_resource(**fields: Any) -> list[Any]:
        return [before["resources"][0], {**before["resources"][1], **fields}]

    for value in BAD:
        assert_refused("attachment", attachment=value)
        assert_refused("citations", 1, "doc", citations=[{"doc": ""}, {"doc": value}])
        assert_refused("resources", 1, "doc", resources=second_resource(doc=value))
        parts = second_resource(parts=[{"doc": ""}, {"doc": value}])
        assert_refused("resources", 1, "parts", 1, "doc", resources=parts)
    for value in BAD_LISTS:
        assert_refused("list_before", list_before=value)
        assert_refused("list_after", list_after=value)
        assert_refused("resources", 1, "docs", resources=second_resource(docs=value))
    assert shown(before["id"]) == before


def test_unknown_file_in_a_subfield(author: str) -> None:
    for id_ in (*upload(new_user()), "nix"):
        parts = [{"doc": ""}, {"doc": id_}]
        with refused(UNKNOWN, "resources", 1, "parts", 1, "doc"):
            new(author, resources=[resource(), resource(parts=parts)])


# the preset files_attachment: what it stores and shows, and who owns the files then


def test_preset_in_a_dataset(author: str) -> None:
    file, *files = upload(author, 4)
    dataset = new_with_preset(author, attachment=file, attachments=files[::-1])
    assert (dataset["attachment"], dataset["attachments"]) == (file, files[::-1])
    assert owners(file, *files) == [("package", dataset["id"], True)] * 4
    # the field for one file
    others = upload(author, 2)
    with refused("Only one file", "attachment"):
        new_with_preset(author, attachment=others)
    assert {entry[0] for entry in owners(*others)} == {"user"}
    assert new_with_preset(author, attachment=others[:1])["attachment"] == others[0]


@pytest.mark.parametrize("as_form", [True, False])
def test_empty_choices_of_a_form_do_not_count(author: str, as_form: bool, file: str) -> None:
    dataset = new_with_preset(author, attachments=["", file] if as_form else file)
    assert dataset["attachments"] == [file]
    dataset = call("package_patch", author, id=dataset["id"], attachments="" if as_form else [])
    assert dataset["attachments"] == []
    assert owner(file) == ("package", dataset["id"], True)


def test_preset_in_resources_and_subfields(author: str) -> None:
    paper, other, *papers, codebook, photo, plan = upload(author, 7)
    inner = resource(codebook=codebook, photos=[photo], parts=[{"plan": plan}])
    citations = [{"paper": paper}, {"paper": other, "papers": papers}]
    dataset = new_with_preset(author, citations=citations, resources=[inner])
    (shown_inner,) = dataset["resources"]
    assert [citation["paper"] for citation in dataset["citations"]] == [paper, other]
    assert dataset["citations"][1]["papers"] == papers
    assert {name: shown_inner[name] for name in ("codebook", "photos", "parts")} == {
        "codebook": codebook,
        "photos": [photo],
        "parts": [{"plan": plan}],
    }
    assert owners(paper, other, *papers) == [("package", dataset["id"], True)] * 4
    assert owners(codebook, photo, plan) == [("resource", shown_inner["id"], True)] * 3
    # fields that were not sent are not there
    dataset = new_with_preset(author, resources=[resource(codebook=upload(author)[0])])
    assert not {"attachment", "attachments"} & set(dataset)
    assert "photos" not in dataset["resources"][0]


@pytest.mark.parametrize("entity", ["group", "organization"])
def test_preset_in_groups_and_organizations(entity: str) -> None:
    sysadmin = new_user(sysadmin=True)
    logo, *statutes = upload(sysadmin, 3)
    fields: dict[str, Any] = {"type": f"files-preset-{entity}", "name": f"g-{uuid.uuid4()}"}
    made = call(f"{entity}_create", sysadmin, **fields, logo=logo, statutes=statutes)
    found = call(f"{entity}_show", sysadmin, id=made["id"])
    assert (found["logo"], found["statutes"]) == (logo, statutes)
    assert owners(logo, *statutes) == [(entity, made["id"], True)] * 3


@pytest.mark.parametrize("nothing", [None, "", [], [""], "[]"])
def test_required(author: str, nothing: Any) -> None:
    with refused("Missing value", "resources", 0, "codebook"):
        new_with_preset(author, resources=[resource(codebook=nothing)])
    group = {"type": "files-preset-group", "name": f"g-{uuid.uuid4()}", "statutes": nothing}
    with refused("Missing value", "statutes"):
        call("group_create", new_user(sysadmin=True), **group)


def test_errors_of_the_files_are_errors_of_the_field(author: str) -> None:
    with refused(UNKNOWN, "citations", 0, "papers"):
        new_with_preset(author, citations=[{"papers": [str(uuid.uuid4())]}])


def test_preset_in_the_schema_of_something_else() -> None:
    with pytest.raises(FilesError, match="files_transfer_ownership"):
        files_attachment({"field_name": "attachment"}, {"user_type": "user"})
