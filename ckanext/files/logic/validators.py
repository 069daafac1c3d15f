"""Validators for the schemas of other extensions."""

from __future__ import annotations

from typing import Any

from ckan.lib.navl import validators as navl
from ckan.plugins import toolkit as tk
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey, Validator

from ckanext.files import form_request
from ckanext.files.error_texts import joined
from ckanext.files.ownership import (
    Claims,
    FieldArguments,
    NoFileIdsError,
    is_list_of_nothing,
    is_uuid,
    texts,
)

__all__ = ["files_transfer_ownership", "keep_extras"]


def files_transfer_ownership(
    owner_type: str, id_field: str = "id", pin: bool | str = True
) -> Validator:
    """Transfer the files that a field names to what the field describes.

    Use it in the schema of a dataset, resource, group, organization or user,
    also in repeating subfields::

        "attachment": [tk.get_validator("ignore_missing"),
                       tk.get_validator("files_transfer_ownership")("package")]

    or, with ckanext-scheming, ``validators: ignore_missing
    files_transfer_ownership(package)``.

    The value is the id of a file or a list of such ids, also as JSON. A user
    may name files of their own and files that they may edit; within a dataset
    files move freely. The files get their new owner in the same commit in which
    the dataset changes, or not at all. These are errors of the field: a value
    that is not an id, a file that does not exist or that the user may not use,
    a file that is pinned to another owner, and a file that is named twice.

    A file that the field no longer names stays with its owner, unless
    ``files_withdrawn`` of the request says otherwise. A value that the
    request does not change moves nothing.

    :param owner_type: type of the new owner, such as ``package`` (also for a
        field of a resource whose files are to belong to the dataset),
        ``resource``, ``group``, ``organization`` or ``user``.
    :param id_field: field of the owner that holds its id.
    :param pin: whether to pin the files to the owner: they do not move
        without force.
    :returns: the validator. It does not change the value, but removes a list
        of empty values.
    :raises FieldArgumentError: the arguments are anything else.
    """
    arguments = FieldArguments.parse(owner_type, id_field, pin)

    def claim_files(
        key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
    ) -> None:
        if errors.get(key):
            return
        claim(arguments, key, data, errors, context)
        if is_list_of_nothing(data.get(key)):
            del data[key]
            raise tk.StopOnError

    return claim_files


def claim(
    arguments: FieldArguments,
    key: FlattenKey,
    data: FlattenDataDict,
    errors: FlattenErrorDict,
    context: Context,
) -> None:
    """Claim the files of a field, and add the errors about them."""
    found = _check(arguments, key, data, context)
    for name, messages in found.items():
        errors.setdefault(name, []).extend(messages)
    if key in found:
        raise tk.StopOnError


def keep_extras(
    key: FlattenKey, data: FlattenDataDict, errors: FlattenErrorDict, context: Context
) -> None:
    """Do what CKAN's validator does, but refuse ids that would bypass the validators of a field.

    CKAN moves the values in ``__extras`` of a request to the fields after these were validated.
    """
    extras: Any = data.get(key)
    # CKAN itself puts values there, for names that are in no schema
    names = [name for name in extras or {} if (*key[:-1], name) in errors]
    for name in names:
        if any(map(is_uuid, texts(extras[name]))):
            errors[(*key[:-1], name)].append(tk._("Send this as a field of its own"))
    navl.keep_extras(key, data, errors, context)


def _check(
    arguments: FieldArguments, key: FlattenKey, data: FlattenDataDict, context: Context
) -> FlattenErrorDict:
    try:
        if _is_scattered(key, data):
            raise NoFileIdsError
        if data.get(key) in (None, "", [], tk.missing):
            return {}
        if refused := form_request.refusals(texts(data.get(key))):
            # the top of CKAN's form has the first error of a field only
            return {key: [joined(refused.values())]}
        return Claims.of_action(context).claim(arguments, key, data, context)
    except NoFileIdsError:
        return {key: [tk._("Must be the id of a file, or a list of such ids")]}


def _is_scattered(key: FlattenKey, data: FlattenDataDict) -> bool:
    """Return whether CKAN has taken the value apart, as 2.11 does with a list of dicts."""
    junk: Any = data.get(("__junk",))
    return isinstance(junk, dict) and any(other[: len(key)] == key for other in junk)
