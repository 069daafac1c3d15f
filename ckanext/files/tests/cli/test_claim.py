"""``ckan files claim`` says what it has given, and what it has refused."""

from __future__ import annotations

import uuid

import pytest

from ckanext.files.tests.support.console import run, start
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import owner, upload
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.upgrade.test_claim import dataset

loaded = load_plugins("files")


@pytest.fixture
def field() -> str:
    return f"field_{uuid.uuid4().hex}"


def test_given_and_refused(field: str) -> None:
    user, other = new_user(), new_user()
    [mine], [others] = upload(user), upload(other)
    made = dataset(user, **{field: mine})
    refused = dataset(user, **{field: others})
    looked, moved = run("claim", "package", field, "--dry-run"), run("claim", "package", field)
    assert owner(mine) == ("package", made["id"], True)
    assert looked[0] == moved[0] == 1
    assert looked[1].splitlines()[0].split() == ["to", "be", "given", "1"]
    lines = moved[1].splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["given", "1"],
        ["already", "theirs", "0"],
        ["refused", "1"],
    ]
    assert lines[-1].split("  ")[0] == others
    assert f"dataset {refused['name']}" in lines[-1]
    assert lines[-1].endswith(f"belongs to the user {other}, who may not edit this")


def test_all_given(field: str) -> None:
    user = new_user()
    [file] = upload(user)
    dataset(user, **{field: file})
    assert run("claim", "package", field)[0] == 0
    code, text = run("claim", "package", field)
    assert (code, text.splitlines()[1].split()) == (0, ["already", "theirs", "1"])


def test_nothing_names_a_file(field: str) -> None:
    assert run("claim", "group", field) == (0, f"Nothing names a file in {field}.\n")


def test_wrong_owner_type(field: str) -> None:
    code, text = run("claim", "dataset", field)
    assert code == 2
    assert "package" in text
    assert run("claim", "user", field, "--type", "report")[0] == 2


def test_process(field: str) -> None:
    user = new_user()
    [file] = upload(user)
    dataset(user, **{field: file})
    process = start("claim", "package", field)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert output.startswith(b"given")
    assert owner(file)[0] == "package"
