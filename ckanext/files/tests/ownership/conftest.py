"""One portal for all tests of this folder, with fields in Python, in YAML and from the preset."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Api, upload


def _schemas(kind: str) -> str:
    return " ".join(f"ckanext.files.tests:schemas/{name}{kind}.yaml" for name in ("", "preset_"))


loaded = load_plugins(
    "files",
    "files_test_forms",
    "files_test_group_forms",
    "files_test_organization_forms",
    "scheming_datasets",
    "scheming_nerf_index",
    "scheming_groups",
    "scheming_organizations",
    scope="package",
    scheming__presets="ckanext.scheming:presets.json ckanext.files:presets.yaml",
    scheming__dataset_schemas=_schemas("dataset"),
    scheming__group_schemas=_schemas("group"),
    scheming__organization_schemas=_schemas("organization"),
)


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


@pytest.fixture
def file(author: str) -> str:
    """A file that belongs to its author."""
    return upload(author)[0]
