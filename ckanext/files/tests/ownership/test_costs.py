"""What a request costs: calls that grow with its files, few statements, and no lock too many."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.costs import FACTOR, FEW, calls_of
from ckanext.files.tests.support.effects import statements
from ckanext.files.tests.support.users import call, shown

SHAPES: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "list": lambda files: {"several": files},
    "lists of resources": lambda files: {
        "resources": [portal.resource(docs=half) for half in (files[::2], files[1::2])]
    },
    "resources": lambda files: {"resources": [portal.resource(doc=file) for file in files]},
}


@pytest.mark.parametrize("change", ["new", "unchanged", "replaced"])
@pytest.mark.parametrize("shape", SHAPES)
def test_calls_grow_with_the_files(shape: str, change: str, author: str) -> None:
    """And not with their square."""
    fields_of = SHAPES[shape]

    def calls(number: int) -> int:
        old, new = portal.upload(author, number), portal.upload(author, number)
        dataset = portal.new_dataset(author, **({} if change == "new" else fields_of(old)))
        fields = fields_of(new if change == "replaced" else old)
        if change == "unchanged":
            fields = {name: dataset[name] for name in fields}
        return calls_of(lambda: portal.update(author, dataset, **fields, title="changed"))

    calls(1)  # what is made once
    assert calls(FEW * FACTOR) < calls(FEW) * FACTOR * 1.5


def test_saving_again_starts_no_hold(author: str) -> None:
    """It is stock CKAN then: the action's own commit is a commit."""
    file, doc = portal.upload(author, 2)
    dataset = portal.new_dataset(author, attachment=file, resources=[portal.resource(doc=doc)])
    dataset["resources"][0]["name"] = "b"
    with statements() as seen:
        portal.update(author, dataset, title="x")
    assert not [s for s in seen if "FOR UPDATE" in s and "file" in s]
    # CKAN 2.12 has one of its own
    assert len([s for s in seen if s.startswith("SAVEPOINT")]) == int(CORE_FILES)


def test_files_are_read_when_other_updates_wait(author: str, file: str) -> None:
    dataset = portal.new_dataset(author)
    with statements() as seen:
        portal.update(author, dataset, attachment=file)
    (lock,) = (n for n, s in enumerate(seen) if 'FROM "package"' in s and "FOR NO KEY UPDATE" in s)
    (read,) = (n for n, s in enumerate(seen) if f"JOIN {portal.OWNERS}" in s and "wanted" in s)
    (write,) = (n for n, s in enumerate(seen) if f"UPDATE {portal.OWNERS}" in s)
    assert lock < read < write


def test_what_is_stored_is_read_only_for_a_file_that_would_move(author: str, file: str) -> None:
    dataset = portal.new_dataset(author, resources=[portal.resource(), portal.resource()])
    with statements() as seen:
        portal.update(author, dataset, attachment=file)
    assert len([s for s in seen if "to_jsonb" in s]) == 1
    with statements() as seen:
        portal.update(author, shown(dataset["id"]), title="x")
    assert not [s for s in seen if "to_jsonb" in s]


@pytest.mark.parametrize(("then", "each"), [("give_back", 0), ("delete", 15)])
def test_statements_of_withdrawals(then: str, each: int, author: str) -> None:
    """Rights are asked once for files that are alike to CKAN; a deletion is CKAN's own action."""

    def cost(number: int) -> int:
        files = [portal.new_file(author) for _ in range(number)]
        dataset = portal.new_dataset(author, several=files)
        withdrawn = [{"id": file, "then": then} for file in files]
        with statements() as seen:
            portal.update(author, dataset, several=[], files_withdrawn=withdrawn)
        return len(seen)

    cost(1)  # what is made once
    assert cost(FEW) - cost(1) <= (FEW - 1) * each


def test_questions_about_ids(author: str) -> None:
    """None without new ids, and one for many."""
    with statements() as seen:
        resources = [portal.resource(), portal.resource()]
        dataset = portal.new_dataset(author, type="dataset", resources=resources)
        dataset["resources"].reverse()
        portal.update(author, dataset)
        call("resource_create", author, package_id=dataset["id"], **portal.resource())
        call("group_create", author, name=f"g-{dataset['id']}")
    assert not [s for s in seen if portal.OWNERS in s]
    resources = [portal.resource(id=str(uuid.uuid4())) for _ in range(20)]
    with statements() as seen:
        portal.new_dataset(author, type="dataset", resources=resources)
    assert len([s for s in seen if portal.OWNERS in s]) == 1
