"""Validators of the preset ``files_attachment`` for ckanext-scheming.

This module does not import ckanext-scheming, which need not be installed.
"""

from __future__ import annotations

import json
from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey, Validator

from ckanext.files.ownership import FieldArgumentError, FieldArguments, NoFileIdsError, file_ids

from .validators import claim

__all__ = ["files_attachment", "files_attachment_output"]

_OWNER_TYPES = {
    "dataset_type": "package",
    "group_type": "group",
    "organization_type": "organization",
}
"""What a schema describes, by the key that holds its type."""


def files_attachment(field: dict[str, Any], schema: dict[str, Any]) -> Validator:
    """Transfer the files of a field to the dataset, resource, group or organization with it.

    It does what ``files_transfer_ownership`` does, also in repeating subfields, and stores one
    id, or a list of ids where the field has ``multiple: true``.

    :raises FieldArgumentError: the schema describes something else.
    """
    owner_types = [name for key, name in _OWNER_TYPES.items() if key in schema]
    if not owner_types:
        raise FieldArgumentError("files_attachment: use files_transfer_ownership in this schema.")
    of_root, of_resource = FieldArguments.parse(owner_types[0]), FieldArguments.parse("resource")

    def attach_files(
        key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
    ) -> None:
        if errors.get(key):
            return
        claim(of_resource if key[0] == "resources" else of_root, key, data, errors, context)
        ids = file_ids(data.get(key))
        if field.get("required") and not ids:
            raise tk.Invalid(tk._("Missing value"))
        if field.get("multiple"):
            data[key] = json.dumps(ids)
        elif len(ids) > 1:
            raise tk.Invalid(tk._("Only one file can be attached here"))
        else:
            data[key] = "".join(ids)

    return attach_files


def files_attachment_output(field: dict[str, Any], schema: dict[str, Any]) -> Validator:
    """Show the value that ``files_attachment`` has stored: a list if the field is ``multiple``."""

    def load_files(value: Any) -> Any:
        if not field.get("multiple"):
            return value
        try:
            return file_ids(value)
        except NoFileIdsError:
            return value  # older than the preset of the field

    return load_files


for _validator in (files_attachment, files_attachment_output):
    # ckanext-scheming passes the field and the schema to validators with this mark
    _validator.is_a_scheming_validator = True  # pyright: ignore[reportFunctionMemberAccess]
