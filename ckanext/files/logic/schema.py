"""Schemas of the actions."""

from __future__ import annotations

from typing import Any

from ckan.logic.schema import validator_args
from ckan.plugins import toolkit as tk
from ckan.types import Schema, Validator, ValidatorFactory

from ckanext.files.ownership import is_id
from ckanext.files.parameters import as_bool


@validator_args
def transfer_ownership(not_empty: Validator, default: ValidatorFactory) -> Schema:
    """Return the schema of ``files_transfer_ownership``."""
    return {
        "id": [not_empty, _id],
        "owner_type": [not_empty, _id],
        "owner_id": [not_empty, _id],
        "force": [default(False), as_bool],
        "pin": [default(False), as_bool],
    }


def _id(value: Any) -> Any:
    if not is_id(value):
        raise tk.Invalid(tk._("Must be a short text without control characters"))
    return value
