"""The fields of a form that is sent, and their initial files: what they had when it was opened.

A form may have been open for hours, and sends all of its fields. What another user has put into a
field meanwhile is missing in what it sends, and yet the form's user has not taken it out.
"""

from __future__ import annotations

from ckanext.files import form_request
from ckanext.files.store import Owner

from .stored_fields import Names, StoredFields, place_of
from .values import field_key


class FormFields:
    """The files of the form's fields: the initial ones, and what the database has now.

    :param stored: the fields of what the form edits.
    :param owner: what the action updates; the form may edit a resource of it.
    """

    def __init__(self, stored: StoredFields, owner: Owner) -> None:
        self._stored = stored
        resource_id = form_request.resource_id()
        self._place = ("resource", resource_id) if resource_id else place_of(owner)
        self._fields_of: dict[str, set[Names]] = {}
        for name, ids in form_request.initial().items():
            for id_ in ids:
                self._fields_of.setdefault(id_, set()).add(field_key(name)[::2])

    def takes_out(self, file_id: str) -> bool:
        """Return whether a file that the form does not send is one that its user has taken out."""
        return file_id in self._fields_of and not self.has_moved(file_id)

    def has_moved(self, file_id: str) -> bool:
        """Return whether a file is in a field now that did not have it in the form.

        The form need not show that field, which may be newer than the form.
        """
        fields = set(self._fields_of.get(file_id, ()))
        if (name := form_request.field_taking_out(file_id)) is not None:
            fields.add(field_key(name)[::2])
        return any(
            # the form of a dataset may have fields of its resources
            (names if place == self._place else ("resources", *names)) not in fields
            for place, names in self._stored.naming(file_id)
        )
