"""The fields of a form that is sent, and their initial files: what they had when it was opened.

A form may have been open for hours, and sends all of its fields. What another user has put into a
field meanwhile is missing in what it sends, and yet the form's user has not taken it out.

Other stored fields may have had an initial file as well, such as an extra into which a plugin
copies the form's field. The form sends a digest of each, behind the ids of the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

from ckanext.files import form_request
from ckanext.files.store import Owner

from .stored_fields import Place, StoredField, StoredFields, place_of
from .values import field_names


def digests_of_other_fields(
    name: str, file_ids: Iterable[str], stored: StoredFields, owner: Owner
) -> Iterator[str]:
    """Yield a digest of each other stored field that has a file of a form's field.

    :param name: of the form's field.
    :param owner: what the form edits.
    """
    own = _field(name, place_of(owner))
    for id_ in file_ids:
        yield from (_digest(id_, field) for field in stored.naming(id_) if field != own)


def _field(name: str, place: Place) -> StoredField:
    return place, field_names(name)


def _digest(file_id: str, field: StoredField) -> str:
    """Return what stands for a stored field that had a file.

    It is short, as a form may have thousands, and long enough that no two of a form are alike.
    """
    return hashlib.sha256(json.dumps((file_id, field)).encode()).hexdigest()[:16]


class FormFields:
    """The files of the form's fields: the initial ones, and what the database has now.

    :param stored: the fields of what the form edits.
    :param owner: what the action updates; the form may edit a resource of it.
    """

    def __init__(self, stored: StoredFields, owner: Owner) -> None:
        self._stored = stored
        resource_id = form_request.resource().get("id")
        self._place = ("resource", resource_id) if resource_id else place_of(owner)
        self._fields_of: dict[str, set[StoredField]] = {}
        """By each id and digest that the form sends: the fields of the form that send it."""
        for name, sent in form_request.initial().items():
            for each in sent:
                self._fields_of.setdefault(each, set()).add(_field(name, self._place))

    def takes_out(self, file_id: str) -> bool:
        """Return whether a file that the form does not send is one that its user has taken out."""
        return file_id in self._fields_of and not self.has_moved(file_id)

    def has_moved(self, file_id: str) -> bool:
        """Return whether a file is in a field now that did not have it when the form was opened.

        The form need not show that field, which may be newer than the form.
        """
        fields = set(self._fields_of.get(file_id, ()))
        if (name := form_request.field_taking_out(file_id)) is not None:
            fields.add(_field(name, self._place))
        others = self._stored.naming(file_id) - fields
        return any(_digest(file_id, field) not in self._fields_of for field in others)
