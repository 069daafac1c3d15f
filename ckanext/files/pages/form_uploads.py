"""What the attachment field adds to a form, made into what CKAN reads, before CKAN reads it.

A browser sends these inputs beside CKAN's own, each with the name of the field after a colon:

``files-upload:NAME``
    Files, from a browser without JavaScript. Each is uploaded by ``file_create`` and commits by
    itself, so that it survives an error of another field. Its id becomes a value of the field.
``files-add:NAME``
    Ids of files to put into the field.
``files-take-out:NAME``
    The id of a file to take out, and after a space what then happens to it: a choice
    of the actions' ``files_withdrawn``.
``files-initial:NAME``
    The ids of the field's initial files, with spaces between them: the field had them when the form
    was opened. What came into a field meanwhile was not taken out by the person who sends the form.
    Behind them, a digest of each other stored field that had one of these files: see
    :mod:`.ownership.form_fields`. It is one input for all files, because Flask accepts a thousand
    parts of a form.
``files-several:NAME``
    Is there if the field holds several files. Otherwise what is put in replaces what is there.
``files-storage:NAME``
    The storage of the uploads, if the field names one.

CKAN finds the values of the field as a script would have sent them, and ``files_withdrawn`` for
what is taken out. Other views than the forms of CKAN, and those derived from them, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ckan.plugins.toolkit as tk
from flask import Blueprint, current_app, request
from werkzeug.datastructures import FileStorage, MultiDict

from ckanext.files import csrf, form_request

from .uploading import NotUploadedError, upload_file

blueprint = Blueprint("files_form_uploads", __name__)

_PREFIX = "files-"
_INITIAL = "files-initial:"
_WITHDRAWN = "files_withdrawn"

_FORMS = {
    "dataset": ("CreateView", "EditView"),
    "resource": ("CreateView", "EditView"),
    "group": ("CreateGroupView", "EditGroupView"),
    "user": ("RegisterView", "EditView"),
}
"""The views of CKAN's forms, by the last names of their modules: CKAN imports some of these modules
twice, so that there are two classes of one view."""


@blueprint.before_app_request
def read_attachment_fields() -> None:
    """Upload the files of a form, and make its attachment fields such as CKAN expects."""
    if request.method != "POST" or not _is_form():
        return
    form_request.mark()
    inputs = [name for some in (request.form, request.files) for name in some]
    if any(map(_is_ours, inputs)):
        csrf.check()
        _Form(request).replace()


def _is_form() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    classes = getattr(getattr(view, "view_class", None), "__mro__", ())
    return any(each.__name__ in _FORMS.get(_last_name(each.__module__), ()) for each in classes)


def _last_name(module: str) -> str:
    return module.rpartition(".")[2]


class _Form:
    """The inputs of one request."""

    def __init__(self, sent: Any) -> None:
        self._request = sent
        self._sent = sent.form
        self._uploads: MultiDict[str, Any] = MultiDict(sent.files)
        self._form: MultiDict[str, str] = MultiDict(
            (name, value) for name, value in sent.form.items(multi=True) if not _is_ours(name)
        )
        self._withdrawn = 0

    def replace(self) -> None:
        """Let CKAN read the values of the fields."""
        for name in filter(_is_initial, self._sent):
            sent = " ".join(self._sent.getlist(name)).split()
            form_request.set_initial(name.partition(":")[2], sent)
        fields = self._fields()
        if any(name.partition("__")[0] == _WITHDRAWN for name in fields):
            tk.abort(400)  # only a forged form: CKAN would fail to read it
        for name in fields:
            self._set_values(name)
        files = [(key, file) for key, file in self._uploads.items(True) if not _is_ours(key)]
        self._request.form = self._form
        self._request.files = MultiDict(files)

    def _fields(self) -> list[str]:
        # a field that was removed from the form has left its initial files there
        inputs = [name for name in (*self._sent, *self._uploads) if not _is_initial(name)]
        return list(dict.fromkeys(name.partition(":")[2] for name in inputs if _is_ours(name)))

    def _set_values(self, name: str) -> None:
        taken_out = dict(self._taken_out(name))
        stays = [value for value in self._form.getlist(name) if value and value not in taken_out]
        added = [id_ for id_ in self._sent.getlist(f"files-add:{name}") if id_]
        uploaded = list(self._uploaded(name))
        refused = form_request.refusals(uploaded)
        new = [*added, *(id_ for id_ in uploaded if id_ not in refused)]
        if f"files-several:{name}" in self._sent:
            values = ["", *stays, *new]  # so that the field is sent when it is empty, too
        else:
            values = (new or stays)[-1:]
        self._form.setlist(name, [*values, *refused] or [""])
        for id_, then in taken_out.items():
            self._withdraw(id_, then)
        form_request.take_out(name, taken_out)

    def _taken_out(self, name: str) -> Iterator[tuple[str, str]]:
        for value in self._sent.getlist(f"files-take-out:{name}"):
            id_, _, then = value.partition(" ")
            if id_:
                yield id_, then

    def _withdraw(self, id_: str, then: str) -> None:
        if then:  # an unknown word too: the action refuses it
            start = f"{_WITHDRAWN}__{self._withdrawn}__"
            self._form.setlist(f"{start}id", [id_])
            self._form.setlist(f"{start}then", [then])
            self._withdrawn += 1

    def _uploaded(self, name: str) -> Iterator[str]:
        """Yield the id of each file, or what stands for one that was refused."""
        key = f"files-upload:{name}"
        storage = self._sent.get(f"files-storage:{name}")
        for file in self._uploads.getlist(key):
            if file.filename:
                yield _upload(file, storage)
        # a form that is not made for files sends their names only
        if names := [name for name in self._sent.getlist(key) if name]:
            yield form_request.refuse(_not_sent(names))


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIX) and ":" in name


def _is_initial(name: str) -> bool:
    return name.startswith(_INITIAL)


def _upload(file: FileStorage, storage: str | None) -> str:
    try:
        return upload_file(file, storage)["id"]
    except NotUploadedError as error:
        return form_request.refuse(str(error))


def _not_sent(names: list[str]) -> str:
    *others, last = names
    if not others:
        sentence = tk._("{name} was not sent. Choose it again, and press “Upload and save”.")
        return sentence.format(name=last)
    sentence = tk._(
        "{names} and {last} were not sent. Choose them again, and press “Upload and save”."
    )
    return sentence.format(names=", ".join(others), last=last)
