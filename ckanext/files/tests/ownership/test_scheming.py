"""Fields in schemas of ckanext-scheming: lists, repeating subfields and the preset."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from ckanext.files.errors import FilesError
from ckanext.files.logic.scheming import files_attachment
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.users import call, new_user, shown

COUNT = 22


def new(user: str, **fields: Any) -> dict[str, Any]:
    return portal.new_dataset(user, type="files-yaml", title="Dataset", **fields)


def new_with_preset(user: str, **fields: Any) -> dict[str, Any]:
    return portal.new_dataset(user, type="files-preset", title="Dataset", **fields)


def assert_everything_is_owned(dataset: dict[str, Any], files: list[str]) -> None:
    """Everything that a dataset names belongs to it, or to the resource that names it."""
    top = [dataset.get("attachment"), dataset.get("quoted")]
    top += [*dataset["list_before"], *dataset["list_after"], *_of_parts(dataset.get("citations"))]
    expected = {id_: ("package", dataset["id"]) for id_ in top if id_}
    for item in dataset["resources"]:
        inner = [item.get("doc"), *item["docs"], *_of_parts(item.get("parts"))]
        expected |= {id_: ("resource", item["id"]) for id_ in inner if id_}
    assert set(expected) == set(files)
    found = [found and found[:2] for found in portal.owners(*expected)]
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
            portal.resource(doc=take(), docs=[take(), take()]),
            portal.resource(),
            portal.resource(
                doc=take(), parts=[{"doc": take()}, {"doc": take(), "docs": [take(), take()]}]
            ),
            portal.resource(docs=[take()], parts=[{"doc": ""}, {"docs": [take(), take()]}]),
        ],
    }


def test_all_places_at_once(author: str) -> None:
    files = portal.upload(author, COUNT)
    dataset = new(author, **everything(files))
    assert_everything_is_owned(dataset, files)
    assert [pinned for _, _, pinned in portal.owners(*files[:3])] == [True, False, True]
    # saving again changes nothing
    dataset = portal.update(author, dataset, title="again")
    dataset["resources"][2]["name"] = "changed"
    dataset = portal.update(author, dataset)
    assert_everything_is_owned(dataset, files)
    assert {len(portal.history(file)) for file in files} == {1}
    # in another order, with resources that come without ids, so that all of them are new
    dataset = portal.update(author, dataset, **everything(files[7:] + files[:7]))
    assert_everything_is_owned(dataset, files)


def test_form_with_composite_names(author: str) -> None:
    """What the web form of ckanext-scheming sends."""
    files = portal.upload(author, 3)
    fields = {"citations-0-doc": files[0], "citations-1-docs": [files[1], ""]}
    assert_everything_is_owned(new(author, **fields, list_before=files[2]), files)


def test_twice_across_places(author: str, file: str) -> None:
    with portal.refused(portal.TWICE, "citations", 1, "doc"):
        new(author, attachment=file, citations=[{"doc": ""}, {"doc": file}])
    with portal.refused(portal.TWICE, "list_before"):
        new(author, list_before=[file], list_after=[file])
    with portal.refused(portal.TWICE, "resources", 0, "docs"):
        new(author, resources=[portal.resource(doc=file, docs=[file])])
    parts = [[{"doc": file}], [{"doc": ""}, {"docs": [file]}]]
    with portal.refused(portal.TWICE, "resources", 1, "parts", 1, "docs"):
        new(author, resources=[portal.resource(parts=part) for part in parts])
    assert portal.owner(file)[0] == "user"


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    files = portal.upload(author, 2)
    resources = [portal.resource(parts=[{"doc": files[0]}]), portal.resource(doc=files[1])]
    dataset = new(author, resources=resources)
    dataset["resources"][1]["doc"] = files[0]
    with portal.refused(portal.TWICE, "resources", 1, "doc"):
        portal.update(author, dataset)
    dataset = shown(dataset["id"])
    dataset["resources"][0]["parts"] += [{"docs": [files[1]]}]
    with portal.refused(portal.TWICE, "resources", 0, "parts", 1, "docs"):
        portal.update(author, dataset)


def test_bad_input(author: str) -> None:
    before = shown(new(author, resources=[portal.resource(), portal.resource()])["id"])

    def assert_refused(*key: Any, **fields: Any) -> None:
        with portal.refused("", *key):
            portal.update(author, before, **fields)

    def second_resource(**fields: Any) -> list[Any]:
        return [before["resources"][0], {**before["resources"][1], **fields}]

    for value in (7, True, {"a": 1}, "\x00", "x" * 100_000, "nix", "[[1]]"):
        assert_refused("attachment", attachment=value)
        assert_refused("citations", 1, "doc", citations=[{"doc": ""}, {"doc": value}])
        assert_refused("resources", 1, "doc", resources=second_resource(doc=value))
        parts = second_resource(parts=[{"doc": ""}, {"doc": value}])
        assert_refused("resources", 1, "parts", 1, "doc", resources=parts)
    for value in (7, {"a": 1}, ["nix"], ["\x00"]):
        assert_refused("list_before", list_before=value)
        assert_refused("list_after", list_after=value)
        assert_refused("resources", 1, "docs", resources=second_resource(docs=value))
    assert shown(before["id"]) == before


def test_unknown_file_in_a_subfield(author: str) -> None:
    for id_ in (*portal.upload(new_user()), "nix"):
        parts = [{"doc": ""}, {"doc": id_}]
        with portal.refused(portal.UNKNOWN, "resources", 1, "parts", 1, "doc"):
            new(author, resources=[portal.resource(), portal.resource(parts=parts)])
        with portal.refused(portal.UNKNOWN, "citations", 0, "papers"):
            new_with_preset(author, citations=[{"papers": [id_]}])


# the preset files_attachment: what it stores and shows, and who owns the files then


def test_preset_in_a_dataset(author: str) -> None:
    file, *files = portal.upload(author, 4)
    dataset = new_with_preset(author, attachment=file, attachments=files[::-1])
    assert (dataset["attachment"], dataset["attachments"]) == (file, files[::-1])
    assert portal.owners(file, *files) == [("package", dataset["id"], True)] * 4
    # the field for one file
    others = portal.upload(author, 2)
    with portal.refused("Only one file", "attachment"):
        new_with_preset(author, attachment=others)
    assert {entry[0] for entry in portal.owners(*others)} == {"user"}
    assert new_with_preset(author, attachment=others[:1])["attachment"] == others[0]


@pytest.mark.parametrize("as_form", [True, False])
def test_empty_choices_of_a_form_do_not_count(author: str, as_form: bool, file: str) -> None:
    dataset = new_with_preset(author, attachments=["", file] if as_form else file)
    assert dataset["attachments"] == [file]
    dataset = call("package_patch", author, id=dataset["id"], attachments="" if as_form else [])
    assert dataset["attachments"] == []
    assert portal.owner(file) == ("package", dataset["id"], True)


def test_preset_in_resources_and_subfields(author: str) -> None:
    paper, other, *papers, codebook, photo, plan = portal.upload(author, 7)
    inner = portal.resource(codebook=codebook, photos=[photo], parts=[{"plan": plan}])
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
    assert portal.owners(paper, other, *papers) == [("package", dataset["id"], True)] * 4
    assert portal.owners(codebook, photo, plan) == [("resource", shown_inner["id"], True)] * 3
    # fields that were not sent are not there
    dataset = new_with_preset(
        author, resources=[portal.resource(codebook=portal.upload(author)[0])]
    )
    assert not {"attachment", "attachments"} & set(dataset)
    assert "photos" not in dataset["resources"][0]


@pytest.mark.parametrize("entity", ["group", "organization"])
def test_preset_in_groups_and_organizations(entity: str) -> None:
    sysadmin = new_user(sysadmin=True)
    logo, *statutes = portal.upload(sysadmin, 3)
    fields: dict[str, Any] = {"type": f"files-preset-{entity}", "name": f"g-{uuid.uuid4()}"}
    made = call(f"{entity}_create", sysadmin, **fields, logo=logo, statutes=statutes)
    found = call(f"{entity}_show", sysadmin, id=made["id"])
    assert (found["logo"], found["statutes"]) == (logo, statutes)
    assert portal.owners(logo, *statutes) == [(entity, made["id"], True)] * 3


@pytest.mark.parametrize("nothing", [None, "", [], [""], "[]"])
def test_required(author: str, nothing: Any) -> None:
    with portal.refused("Missing value", "resources", 0, "codebook"):
        new_with_preset(author, resources=[portal.resource(codebook=nothing)])
    group = {"type": "files-preset-group", "name": f"g-{uuid.uuid4()}", "statutes": nothing}
    with portal.refused("Missing value", "statutes"):
        call("group_create", new_user(sysadmin=True), **group)


def test_preset_in_the_schema_of_something_else() -> None:
    with pytest.raises(FilesError, match="files_transfer_ownership"):
        files_attachment({"field_name": "attachment"}, {"user_type": "user"})
