"""The labels of fields that name files, where a schema of ckanext-scheming has them.

This module does not import ckanext-scheming, which need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ckan.plugins.toolkit as tk

_SCHEMAS = {
    "package": ("scheming_get_dataset_schema", "dataset_fields"),
    "resource": ("scheming_get_dataset_schema", "resource_fields"),
    "group": ("scheming_get_group_schema", "fields"),
    "organization": ("scheming_get_organization_schema", "fields"),
}
"""By type of the owner: the helper that returns the schema, and where the schema has the fields."""


def files_field_labels(owner: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """Return what people call the fields of an owner: their labels, or else their names.

    :param owner: its ``type``, and its ``kind``: the type of the dataset, group or organization.
    :param fields: the names, as ``find_mentions`` returns them.
    """
    labels = _labels(owner["type"], owner["kind"])
    return [labels.get(name) or name for name in fields]


def _labels(owner_type: str, kind: str | None) -> dict[str, str]:
    helper, part = _SCHEMAS.get(owner_type, ("", ""))
    schema_of: Any = tk.h.get(helper)
    schema = schema_of(kind) if schema_of else None
    return dict(_named((schema or {}).get(part)))


def _named(fields: Any) -> Iterator[tuple[str, str]]:
    """Yield the names of fields with their labels; a repeating subfield after its group."""
    for field in fields if isinstance(fields, list) else []:
        if _has_name(field):
            name, label = field["field_name"], _text(field.get("label"))
            yield name, label
            for subname, sublabel in _named(field.get("repeating_subfields")):
                yield f"{name}/{subname}", f"{label or name} / {sublabel or subname}"


def _has_name(field: Any) -> bool:
    return isinstance(field, dict) and isinstance(field.get("field_name"), str)


def _text(label: Any) -> str:
    """Return a label in the visitor's language; empty if it is no text: YAML has numbers, too."""
    if isinstance(label, dict):
        label = {language: text for language, text in label.items() if _are_texts(language, text)}
    elif not isinstance(label, str):
        return ""
    return tk.h.scheming_language_text(label)


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
