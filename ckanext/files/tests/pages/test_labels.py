"""What people call the fields that name files."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest

from ckanext.files.pages.labels import files_field_labels
from ckanext.files.tests.support.load_plugins import load_plugins

SCHEMAS = "ckanext.files.tests:schemas/"

loaded = load_plugins(
    *("files", "scheming_datasets", "scheming_organizations", "scheming_nerf_index"),
    scheming__presets="ckanext.scheming:presets.json ckanext.files:presets.yaml",
    scheming__dataset_schemas=f"{SCHEMAS}preset_dataset.yaml",
    scheming__organization_schemas=f"{SCHEMAS}preset_organization.yaml",
)

LABELS = [
    ("package", "files-preset", ["attachments", "citations"], ["Attachments", "Citations"]),
    (
        "package",
        "files-preset",
        ["citations/paper", "citations/none"],
        ["Citations / Paper", "citations/none"],
    ),
    ("resource", "files-preset", ["parts/plan"], ["Parts / Plan"]),
    ("resource", "files-preset", ["photos", "attachments"], ["Photos", "attachments"]),
    ("organization", "files-preset-organization", ["statutes"], ["Statutes"]),
    # without a schema, or without a label
    ("package", "dataset", ["attachment"], ["attachment"]),
    ("package", "files-preset", ["of_another_plugin"], ["of_another_plugin"]),
    ("group", "group", ["logo"], ["logo"]),
    ("user", "user", ["avatar"], ["avatar"]),
    ("of-a-plugin", None, ["attachment"], ["attachment"]),
]


@pytest.mark.parametrize(("owner_type", "kind", "fields", "labels"), LABELS)
def test_labels(
    owner_type: str, kind: str | None, fields: list[str], labels: list[str], app: Any
) -> None:
    with app.flask_app.test_request_context():
        assert files_field_labels({"type": owner_type, "kind": kind}, fields) == labels


@pytest.mark.parametrize("label", [None, 5, 2024.5, True, ["x"], {}, {"xx": 5}, {None: None}])
def test_a_label_that_is_no_text(label: Any, app: Any) -> None:
    """YAML has them. Fields without a name, such as headings, have no label that is of use."""
    schema = tk.h.scheming_get_dataset_schema("files-preset")
    fields = schema["dataset_fields"]
    named = [
        {"field_name": "year", "label": label},
        {"field_name": "odd", "label": {5: 5, "en": "Odd"}},
    ]
    schema["dataset_fields"] = [*named, {"heading": "Files"}, {"field_name": 5}, "text", None]
    owner = {"type": "package", "kind": "files-preset"}
    try:
        with app.flask_app.test_request_context():
            assert files_field_labels(owner, ["year", "odd"]) == ["year", "Odd"]
            for none in (None, "text"):
                schema["dataset_fields"] = none
                assert files_field_labels(owner, ["year"]) == ["year"]
    finally:
        schema["dataset_fields"] = fields


def test_a_label_in_the_language_of_the_visitor(app: Any) -> None:
    schema = tk.h.scheming_get_dataset_schema("files-preset")
    (field,) = [each for each in schema["dataset_fields"] if each["field_name"] == "attachment"]
    before, field["label"] = field["label"], {"en": "Attachment", "de": "Anhang"}
    owner = {"type": "package", "kind": "files-preset"}
    try:
        for language, label in (("de", "Anhang"), ("en", "Attachment")):
            with app.flask_app.test_request_context(f"/{language}/"):
                tk.request.environ["CKAN_LANG"] = language
                assert files_field_labels(owner, ["attachment"]) == [label]
    finally:
        field["label"] = before
