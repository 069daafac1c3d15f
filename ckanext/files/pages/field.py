"""The attachment field of a form: what it shows, offers and accepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files import form_request
from ckanext.files.ownership import is_id
from ckanext.files.store import Owner

from .choices import edited_owners, offered_files, sent_ids, stored_ids
from .chosen import ChosenFile, EditedForm, chosen_files
from .page_files import PageFile, named_ids
from .uploading import UploadStorage, field_storage, unfinished_uploads


@dataclasses.dataclass(frozen=True)
class Field:
    """The field as a template shows it."""

    chosen: list[ChosenFile]
    taken_out: list[ChosenFile]

    offered: list[PageFile]
    """The newest files that may be chosen, for browsers without JavaScript."""

    owners: list[Owner]
    """What the form edits."""

    then: str
    """What happens to a file that is taken out, unless the visitor decides otherwise."""

    storage: UploadStorage | None
    """The storage of the uploads; None if the visitor may upload nothing here."""

    form: str
    """The page of the form, as its uploads remember it."""

    unfinished: list[dict[str, Any]]
    """The visitor's uploads into the storage that were begun in this form, and can go on.

    What was begun elsewhere is among the user's own files: here it would be offered for a field for
    which it was never meant.
    """


def files_field(
    name: str,
    value: Any,
    owner_types: Collection[str] = (),
    owner: str | None = None,
    storage: str | None = None,
) -> Field:
    """Return what a field shows, offers and accepts.

    :param name: name of the field in the form.
    :param value: the ids that it names, also when the form comes back with an error.
    :param owner_types: what the form edits: ``package``, ``resource``, ``group``,
        ``organization`` or ``user``; several where the form does not know.
    :param owner: its id or name; empty when it does not exist yet.
    :param storage: of the uploads; by default the first one to which users upload.
    """
    owners, target = edited_owners(owner_types, owner), field_storage(storage)
    named, words = named_ids(value), form_request.taken_out(name)
    taken_out = {id_: then for id_, then in words.items() if is_id(id_)}
    refused = form_request.refusals(named)
    ids = [id_ for id_ in named if id_ not in refused]
    stored = stored_ids(owners)
    chosen = list(chosen_files([*ids, *taken_out], taken_out, EditedForm(owners, stored)))
    return Field(
        chosen=[each for each in chosen if each.file.id not in taken_out],
        taken_out=[each for each in chosen if each.file.id in taken_out and each.is_stored],
        offered=offered_files(owners, without={*ids, *stored, *sent_ids()}),
        owners=owners,
        then=tk.config["ckanext.files.withdrawn"],
        storage=target,
        form=tk.request.path,
        unfinished=_unfinished(target) if target else [],
    )


def _unfinished(storage: UploadStorage) -> list[dict[str, Any]]:
    uploads = unfinished_uploads([storage.name])
    return [each for each in uploads if each["metadata"].get("form") == tk.request.path]
