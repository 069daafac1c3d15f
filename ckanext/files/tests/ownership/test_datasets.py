"""Files of datasets and resources, with a schema in Python."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.tests import portal
from ckanext.files.tests.portal import call, history, new_dataset, owner, upload

pytestmark = [
    pytest.mark.ckan_config("ckan.plugins", "files files_test_forms"),
    pytest.mark.usefixtures("with_plugins"),
]


@pytest.fixture
def user(with_plugins: Any) -> str:
    return portal.new_user()


def resource(name: str, **fields: Any) -> dict[str, Any]:
    return {"url": "http://example.com", "name": name, **fields}


def update(user: str, dataset: dict[str, Any], /, **fields: Any) -> dict[str, Any]:
    return call("package_update", user, **{**dataset, **fields})


def test_create(user: str) -> None:
    file, doc = upload(user, 2)
    dataset = new_dataset(user, attachment=file, resources=[resource("a"), resource("b", doc=doc)])
    assert dataset["attachment"] == file
    assert owner(file) == ("package", dataset["id"], True)
    assert owner(doc) == ("resource", dataset["resources"][1]["id"], True)


def test_user_history(user: str) -> None:
    (file,) = upload(user)
    former = owner(file)
    new_dataset(user, attachment=file)
    assert history(file) == [(*former[:2], user)]
