"""The files that a form offers for its fields.

A form names a file once: two fields that name the same one cannot be saved. So no field offers what
another one names. A browser with JavaScript sees in the form itself what its fields hold, and marks
it; without JavaScript the field leaves out what is stored, and what the form has sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from ckan import model

from ckanext.files.search import describe_owners, find_choices

from .edited_form import EditedForm
from .page_files import PageFile, visible_files
from .visitor import visitor

OFFERED_AT_ONCE = 20
"""How many files a form offers at once."""


def offered_files(
    form: EditedForm,
    without: Collection[str],
    words: str = "",
    start: int = 0,
    rows: int = OFFERED_AT_ONCE,
) -> list[PageFile]:
    """Return files that the visitor may put into a field, newest first.

    Those that are not the visitor's own have their owner, which is one of what the form edits.

    :param without: ids of files that are not offered.
    :param words: parts of the name.
    """
    user = visitor()
    if user is None:
        return []
    found = find_choices(model.Session(), user, form.owners, words, start, rows, without)
    of_others = {file.id: file.owner for file in found if file.owner and file.owner != user}
    described = describe_owners(model.Session(), of_others.values())
    return [
        dataclasses.replace(file, owner=described[of_others[file.id]])
        if file.id in of_others
        else file
        for file in visible_files(found)
    ]
