"""The fields of a form that is sent, and their initial files: what they had when it was opened.

A form may have been open for hours, and sends all of its fields. What another user has put into a
field meanwhile is missing in what it sends, and yet the form's user has not taken it out.
"""

from __future__ import annotations

import re

from ckan.types import FlattenKey

from ckanext.files import form_request

from .stored_fields import StoredFields

# as ckanext-scheming and CKAN write the name of a field in an item of a list
_IN_ITEM = re.compile(r"(.+?)(?:-(\d{1,3})-|__(\d{1,3})__)(.+)")


def field_key(name: str) -> FlattenKey:
    """Return the key of a field in the data of its form, by the name of its input."""
    found = _IN_ITEM.fullmatch(name)
    return (found[1], int(found[2] or found[3]), found[4]) if found else (name,)


class FormFields:
    """The files of the form's fields: the initial ones, and what the database has now.

    :param stored: the fields of what the form edits.
    """

    def __init__(self, stored: StoredFields) -> None:
        self._stored = stored
        self._initial: dict[FlattenKey, set[str]] = {}
        for name, ids in form_request.initial().items():
            # the items of repeating subfields have other numbers when one of them is removed
            key = tuple(0 if isinstance(part, int) else part for part in field_key(name))
            self._initial.setdefault(key, set()).update(ids)

    def takes_out(self, file_id: str) -> bool:
        """Return whether a file that the form does not send is one that its user has taken out."""
        is_initial = any(file_id in ids for ids in self._initial.values())
        return is_initial and not self.has_moved(file_id)

    def has_moved(self, file_id: str) -> bool:
        """Return whether a file is in a field now that did not have it initially."""
        others = [key for key, ids in self._initial.items() if file_id not in ids]
        # the form of a resource and the form of its dataset may have inputs of the same name:
        # look in both
        keys = [key for other in others for key in (other, ("resources", 0, *other))]
        return any(self._stored.count(key, file_id, None) for key in keys)
