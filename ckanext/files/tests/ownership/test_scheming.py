"""Fields in ckanext-scheming schemas, with lists and repeating subfields."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from ckan.logic import ValidationError

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    TWICE,
    UNKNOWN,
    Api,
    call,
    error_at,
    owners,
    resource,
    shown,
    update,
    upload,
)

loaded = load_plugins(
    "files",
    "scheming_datasets",
    "scheming_nerf_index",
    scheming__dataset_schemas="ckanext.files.tests:schemas/dataset.yaml",
)


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


def new(user: str, **fields: Any) -> dict[str, Any]:
    name = f"d-{uuid.uuid4()}"
    return call("package_create", user, type="files-yaml", name=name, **fields)


def assert_everything_is_owned(dataset: dict[str, Any], files: list[str]) -> None:
    """Everything that a dataset names belongs to it, or to the resource that names it."""
    top = [dataset.get("attachment"), dataset.get("quoted")]
    top += [*dataset["list_before"], *dataset["list_after"]]
    top += _of_parts(dataset.get("citations"))
    expected = {id_: ("package", dataset["id"]) for id_ in top if id_}
    for item in dataset["resources"]:
        inner = [item.get("doc"), *item["docs"], *_of_parts(item.get("parts"))]
        expected |= {id_: ("resource", item["id"]) for id_ in inner if id_}
    assert set(expected) == set(files)
    found = [found and found[:2] for found in owners(*expected)]
    assert found == list(expected.values())


def _of_parts(parts: Any) -> list[str]:
    return [
        id_ for item in parts or [] for id_ in [item.get("doc"), *_as_list(item.get("docs"))] if id_
    ]


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


COUNT = 22


def test_all_places_at_once(author: str) -> None:
    files = upload(author, COUNT)
    dataset = new(author, **everything(files))
    assert_everything_is_owned(dataset, files)
    # saving again changes nothing
    dataset = update(author, dataset, title="again")
    dataset["resources"][2]["name"] = "changed"
    dataset = update(author, dataset)
    assert_everything_is_owned(dataset, files)
    assert {len(portal.history(file)) for file in files} == {1}


def test_all_places_in_another_order(author: str) -> None:
    """Also with resources that come without ids, so that all of them are new."""
    files = upload(author, COUNT)
    dataset = new(author, **everything(files))
    moved = files[7:] + files[:7]
    dataset = update(author, dataset, **everything(moved))
    assert_everything_is_owned(dataset, files)


def test_pin(author: str) -> None:
    files = upload(author, 2)
    dataset = new(author, attachment=files[0], quoted=files[1])
    assert owners(*files) == [("package", dataset["id"], True), ("package", dataset["id"], False)]


def test_form_with_composite_names(author: str) -> None:
    """What the web form of ckanext-scheming sends."""
    files = upload(author, 3)
    fields = {
        "citations-0-doc": files[0],
        "citations-1-docs": [files[1], ""],
        "list_before": files[2],
    }
    dataset = new(author, **fields)
    assert_everything_is_owned(dataset, files)


def test_twice_across_places(author: str) -> None:
    (file,) = upload(author)
    places: list[tuple[dict[str, Any], list[Any]]] = [
        ({"attachment": file, "citations": [{"doc": ""}, {"doc": file}]}, ["citations", 1, "doc"]),
        ({"list_before": [file], "list_after": [file]}, ["list_before"]),
        ({"resources": [resource(doc=file, docs=[file])]}, ["resources", 0, "docs"]),
        (
            {
                "resources": [
                    resource(parts=[{"doc": file}]),
                    resource(parts=[{"doc": ""}, {"docs": [file]}]),
                ]
            },
            ["resources", 1, "parts", 1, "docs"],
        ),
    ]
    for fields, key in places:
        with pytest.raises(ValidationError) as caught:
            new(author, **fields)
        assert TWICE in error_at(caught.value.error_dict, key)
    assert owners(file)[0][0] == "user"


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    files = upload(author, 2)
    resources = [resource(parts=[{"doc": files[0]}]), resource(doc=files[1])]
    dataset = new(author, resources=resources)
    dataset["resources"][1]["doc"] = files[0]
    with pytest.raises(ValidationError) as caught:
        update(author, dataset)
    assert TWICE in error_at(caught.value.error_dict, ["resources", 1, "doc"])
    dataset = shown(dataset["id"])
    dataset["resources"][0]["parts"] += [{"docs": [files[1]]}]
    with pytest.raises(ValidationError) as caught:
        update(author, dataset)
    assert TWICE in error_at(caught.value.error_dict, ["resources", 0, "parts", 1, "docs"])


# (CKAN leaves empty dicts out of what it validates, and counts its errors without them)
BAD: list[Any] = [7, 0.5, True, {"a": 1}, "\x00", "\ud800", "x" * 100_000, "nix", "[[1]]"]
BAD_LISTS: list[Any] = [7, {"a": 1}, ["nix"], ["\x00"], ["x" * 100_000]]


@pytest.mark.parametrize("http", [False, True], ids=["python", "http"])
def test_bad_input(author: str, api: Api, http: bool) -> None:
    dataset = new(author, resources=[resource(), resource()])
    before = shown(dataset["id"])

    def assert_refused(key: list[Any], **fields: Any) -> None:
        data = {**before, **fields}
        if http:
            status, answer = api.post("package_update", author, **data)
            assert status == 409, (key, fields, answer)
            errors = answer["error"]
        else:
            with pytest.raises(ValidationError) as caught:
                call("package_update", author, **data)
            errors = caught.value.error_dict
        assert error_at(errors, key)

    def second_resource(**fields: Any) -> list[Any]:
        return [before["resources"][0], {**before["resources"][1], **fields}]

    for value in BAD:
        assert_refused(["attachment"], attachment=value)
        assert_refused(["citations", 1, "doc"], citations=[{"doc": ""}, {"doc": value}])
        assert_refused(["resources", 1, "doc"], resources=second_resource(doc=value))
        parts = second_resource(parts=[{"doc": ""}, {"doc": value}])
        assert_refused(["resources", 1, "parts", 1, "doc"], resources=parts)
    for value in BAD_LISTS:
        assert_refused(["list_before"], list_before=value)
        assert_refused(["list_after"], list_after=value)
        assert_refused(["resources", 1, "docs"], resources=second_resource(docs=value))
    assert shown(dataset["id"]) == before


def test_unknown_file_in_a_subfield(author: str) -> None:
    theirs = upload(portal.new_user())[0]
    for id_ in (theirs, "nix"):
        with pytest.raises(ValidationError) as caught:
            new(author, resources=[resource(), resource(parts=[{"doc": ""}, {"doc": id_}])])
        key = ["resources", 1, "parts", 1, "doc"]
        assert UNKNOWN in error_at(caught.value.error_dict, key)
