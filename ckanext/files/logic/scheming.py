"""Validators of the preset ``files_attachment`` for ckanext-scheming, which need not be there."""

from __future__ import annotations

import json
from typing import Any

from ckan.plugins import toolkit as tk
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey, Validator

from ckanext.files.ownership import FieldArgumentError, FieldArguments, NoFileIdsError, file_ids

from .validators import claim

__all__ = ["files_attachment", "files_attachment_output"]

#: What a schema describes, by the key that names its type.
_OWNER_TYPES = {
    "dataset_type": "package",
    "group_type": "group",
    "organization_type": "organization",
}


def files_attachment(field: dict[str, Any], schema: dict[str, Any]) -> Validator:
    """Make the files of a field belong to where it stands.

    It is ``files_transfer_ownership`` for the dataset, resource, group or
    organization that the field describes, also in repeating subfields. It
    stores one id, or a list of ids where the field has ``multiple: true``.

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
    """Show what ``files_attachment`` has stored: a list where the field is ``multiple``."""

    def load_files(value: Any) -> Any:
        if not field.get("multiple"):
            return value
        try:
            return file_ids(value)
        except NoFileIdsError:
            return value  # from before the field had this preset

    return load_files


for _validator in (files_attachment, files_attachment_output):
    # the mark by which ckanext-scheming knows that it is to hand over the field and the schema
    _validator.is_a_scheming_validator = True  # pyright: ignore[reportFunctionMemberAccess]
