"""The attachment field of a form: what it shows, offers and accepts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
from flask import g

from ckanext.files import form_request
from ckanext.files.ownership import is_id
from ckanext.files.store import Owner

from .edited_form import EditedForm, edited_form
from .field_files import FieldFile, field_files
from .offered import offered_files
from .page_files import named_ids
from .request_cache import cached_per_request
from .uploading import UploadStorage, field_storage, visitors_uploads


class Choice(NamedTuple):
    """A file that may be chosen."""

    id: str
    text: str
    """What people read, as HTML."""


@dataclasses.dataclass(frozen=True)
class Field:
    """The field as a template shows it."""

    chosen: list[FieldFile]
    taken_out: list[FieldFile]

    initial: list[tuple[str, Sequence[str]]]
    """The names of fields, each with what their form sends as ``files-initial:NAME``.

    In a form that comes back the first field has them for all fields, also for fields that were
    removed from the form; the others have none.
    """

    offered: list[Choice]
    """The newest files that may be chosen, for browsers without JavaScript.

    At most :data:`.offered.OFFERED_AT_ONCE`; fewer where this field names some of them already.
    """

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
    which it was never meant. The script picks the uploads of its field out of these: of repeating
    subfields ckanext-scheming renders a template, and only the browser puts the number of a new
    subfield into its name.
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
    edited, target, page = edited_form(owner_types, owner), field_storage(storage), tk.request.path
    named, words = named_ids(value), form_request.taken_out(name)
    taken_out = {id_: then for id_, then in words.items() if is_id(id_)}
    refused = form_request.refusals(named)
    ids = [id_ for id_ in named if id_ not in refused]
    shown = list(dict.fromkeys([*ids, *taken_out]))
    files = list(field_files(shown, taken_out, edited))
    return Field(
        chosen=[each for each in files if each.file.id not in taken_out],
        taken_out=[each for each in files if each.file.id in taken_out and each.is_stored],
        initial=list(_initial(name, named, edited)),
        offered=[choice for choice in _choices(edited) if choice.id not in ids],
        owners=edited.owners,
        then=tk.config["ckanext.files.withdrawn"],
        storage=target,
        form=page,
        unfinished=_unfinished(page, target.name) if target else [],
    )


def _initial(
    name: str, ids: Sequence[str], form: EditedForm
) -> Iterator[tuple[str, Sequence[str]]]:
    if not form_request.is_form():
        yield name, form.initial(name, ids)
    elif g.setdefault("files_field_with_initial", name) == name:
        yield from form_request.initial().items()


@cached_per_request
def _choices(form: EditedForm) -> list[Choice]:
    files = offered_files(form, form.named)
    texts = [tk.render("files/snippets/choice.html", {"file": file}) for file in files]
    return [Choice(file.id, tk.literal(text)) for file, text in zip(files, texts, strict=True)]


@cached_per_request
def _unfinished(form: str, storage: str) -> list[dict[str, Any]]:
    return [
        upload
        for upload in visitors_uploads()
        if upload["can_go_on"]
        and upload["storage"] == storage
        and upload["metadata"].get("form") == form
    ]
