"""The files that a form offers for its fields.

A form names a file once: two fields that name the same one cannot be saved. So no field offers what
another one names. A browser with JavaScript sees in the form itself what its fields hold, and marks
it; without JavaScript the field leaves out what is stored, and what the form has sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import authz, model

from ckanext.files import form_request
from ckanext.files.ownership import find_owner, is_id, is_uuid, place_of, stored_fields_of
from ckanext.files.search import describe_owners, find_choices
from ckanext.files.store import Owner

from .page_files import PageFile, visible_files

CHOICES_AT_ONCE = 20
"""How many files a form offers at once."""


def edited_owners(owner_types: Iterable[str], owner: Any) -> list[Owner]:
    """Return what a form edits, as far as it exists and the visitor may edit it."""
    if not is_id(owner):
        return []
    known = [type_ for type_ in owner_types if f"{type_}_update" in authz.auth_functions_list()]
    found = filter(None, (find_owner(model.Session(), type_, owner) for type_ in known))
    return [each for each in found if tk.h.check_access(f"{each.type}_update", {"id": each.id})]


def visitor() -> Owner | None:
    """Return the user of the request as an owner of files."""
    user: Any = tk.current_user
    return Owner("user", user.id) if user and user.is_authenticated else None


def offered_files(
    owners: Iterable[Owner],
    words: str = "",
    start: int = 0,
    rows: int = CHOICES_AT_ONCE,
    without: Collection[str] = (),
) -> list[PageFile]:
    """Return files that the visitor may put into a field, newest first.

    Those that are not the visitor's own have their owner, which is one of what the form edits.

    :param owners: what the form edits.
    :param words: parts of the name.
    :param without: ids of files that are not offered.
    """
    user = visitor()
    if user is None:
        return []
    found = find_choices(model.Session(), user, owners, words, start, rows, without)
    of_others = {file.id: file.owner for file in found if file.owner and file.owner != user}
    described = describe_owners(model.Session(), of_others.values())
    return [
        dataclasses.replace(file, owner=described[of_others[file.id]])
        if file.id in of_others
        else file
        for file in visible_files(found)
    ]


def stored_ids(owners: Iterable[Owner]) -> set[str]:
    """Return the ids that the stored fields of what a form edits name."""
    return {id_ for owner in owners for id_ in stored_fields_of(model.Session(), owner).uuids()}


def sent_ids() -> set[str]:
    """Return the ids that a form which comes back has sent.

    Also those that it has taken out of a field: they are still there, until it is saved.
    """
    sent = tk.request.form.items(multi=True) if form_request.is_form() else ()
    return {value for _, value in sent if is_uuid(value)}


def named_outside_form(owners: Collection[Owner]) -> set[str]:
    """Return the ids that no field of the form names, but one of the same dataset does.

    A field of a resource can have files that belong to the dataset.
    """
    edited = {place_of(owner) for owner in owners}
    stored = [stored_fields_of(model.Session(), owner).uuids() for owner in owners]
    return {id_ for ids in stored for id_, places in ids.items() if places.isdisjoint(edited)}
