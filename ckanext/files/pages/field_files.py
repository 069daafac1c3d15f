"""The files of a field, each with where it belongs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.search import OwnerDescription, describe_owners
from ckanext.files.store import FileRecord

from .edited_form import EditedForm
from .page_files import PageFile
from .visitor import may_see


@dataclasses.dataclass(frozen=True)
class FieldFile:
    """A file that the field names, or that was taken out of it in a form that comes back."""

    file: PageFile

    is_stored: bool
    """It belongs to what the form edits already: it needs a new place when it is taken out."""

    belongs_elsewhere: bool = False
    """The field goes on naming it, but it belongs to something else now, or does not exist."""

    owner: OwnerDescription | None = None
    """What such a file belongs to now, if the visitor may see both."""

    then: str = ""
    """What is to happen to it when it is taken out."""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.file.display_name or tk._("Unavailable file {id}").format(id=self.file.id)


def field_files(
    ids: list[str], taken_out: Mapping[str, str], form: EditedForm
) -> Iterator[FieldFile]:
    """Yield the files with these ids, in this order.

    :param taken_out: what is to happen to those that are taken out.
    """
    for record, file in form.look_up(ids):
        if form.belongs_elsewhere(record, file):
            owner = _seen_owner(record, file)
            yield FieldFile(file, is_stored=False, belongs_elsewhere=True, owner=owner)
        else:
            then = taken_out.get(file.id, "")
            yield FieldFile(file, is_stored=not form.is_unattached(record), then=then)


def _seen_owner(record: FileRecord | None, file: PageFile) -> OwnerDescription | None:
    owner = record.owner if record else None
    if owner is None or file.name is None or not may_see(owner):
        return None
    return describe_owners(model.Session(), [owner])[owner]
