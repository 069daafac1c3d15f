"""Schemas of the actions."""

from __future__ import annotations

from ckan.common import config
from ckan.logic.schema import validator_args
from ckan.types import Schema, Validator, ValidatorFactory

from ckanext.files.parameters import as_bool

from .validators import into_upload


@validator_args
def file_create(
    ignore_empty: Validator,
    unicode_only: Validator,
    default: ValidatorFactory,
    not_missing: Validator,
) -> Schema:
    """Return the schema of ``file_create``; the upload must have a name if ``name`` is empty."""
    return {
        "name": [ignore_empty, unicode_only],
        "storage": [default(config["ckan.files.default_storages.default"]), unicode_only],
        "upload": [not_missing, into_upload],
    }


@validator_args
def file_register(
    default: ValidatorFactory, unicode_only: Validator, not_missing: Validator
) -> Schema:
    """Return the schema of ``file_register``."""
    return {
        "location": [not_missing, unicode_only],
        "storage": [default(config["ckan.files.default_storages.default"]), unicode_only],
    }


@validator_args
def one_file(not_empty: Validator, unicode_only: Validator) -> Schema:
    """Return the schema of the actions whose only parameter is the file."""
    return {"id": [not_empty, unicode_only]}


@validator_args
def file_rename(not_empty: Validator, unicode_only: Validator) -> Schema:
    """Return the schema of ``file_rename``."""
    return {"id": [not_empty, unicode_only], "name": [not_empty, unicode_only]}


@validator_args
def file_ownership_transfer(
    not_empty: Validator,
    default: ValidatorFactory,
    unicode_only: Validator,
) -> Schema:
    """Return the schema of ``file_ownership_transfer``."""
    return {
        "id": [not_empty, unicode_only],
        "owner_id": [not_empty, unicode_only],
        "owner_type": [not_empty, unicode_only],
        "force": [default(False), as_bool],
        "pin": [default(False), as_bool],
    }


@validator_args
def file_owner_scan(
    default: ValidatorFactory, unicode_only: Validator, int_validator: Validator
) -> Schema:
    """Return the schema of ``file_owner_scan``."""
    return {
        "owner_id": [default(""), unicode_only],
        "owner_type": [default("user"), unicode_only],
        "start": [default(0), int_validator],
        "rows": [default(10), int_validator],
        "sort": [default("name")],
    }
